"""Every parameter of generation reaches the real library, on the CPU."""

import pytest

from pytest_lem.errors import ConfigError, EngineLoadError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from transformers import CompileConfig  # noqa: E402
from transformers.generation import logits_process  # noqa: E402

from pytest_lem.analysis.flops import Work  # noqa: E402
from pytest_lem.engines import GenerateOptions  # noqa: E402


def tokens(got):
    return [each.output_ids for each in got["completions"]]


@pytest.fixture
def calls():
    """Forward calls of an engine's model: rows, new tokens, their cache, its room."""

    def watch(engine):
        seen = []

        def note(_module, args, given, output):
            ids = given["input_ids"] if "input_ids" in given else args[0]
            cache = getattr(output, "past_key_values", None)
            room = cache.layers[0].keys.shape[2] if cache else 0
            seen.append((*ids.shape, type(cache).__name__, room))

        engine._model.register_forward_hook(note, with_kwargs=True)
        return seen

    return watch


# The cache


@pytest.mark.proves("transformers.use_cache")
def test_without_a_cache_every_step_computes_the_whole_text(load, ask, rows, calls):
    """The model gets 5, 6 and 7 tokens, and the tokens out are the same."""
    engine, report = load(strict=True, use_cache=False)
    seen = calls(engine)
    got = ask(engine, rows(5), count=3)
    assert [call[1] for call in seen] == [5, 6, 7]
    assert report.effective["use_cache"] is False
    assert got["work"] == [Work(1, 0, 5, 3, cache="none")]
    plain, _ = load(strict=True, use_cache=True)
    assert tokens(got) == tokens(ask(plain, rows(5), count=3))


@pytest.mark.proves("transformers.cache_implementation", "transformers.max_cache_len")
def test_a_static_cache_has_the_room_asked_for(load, ask, rows, calls):
    """The cache that the model gets is of that class and length."""
    engine, report = load(strict=True, cache_implementation="static", max_cache_len=64)
    seen = calls(engine)
    ask(engine, rows(5, 3), count=3)
    assert {call[2] for call in seen} == {"StaticCache"}
    assert report.effective["generation"]["max_cache_len"] == 64
    assert {call[3] for call in seen} == {64}


def test_a_cache_that_the_library_replaces_is_flagged(load):
    """It takes `hybrid` for no choice at all; strict, that fails."""
    _, report = load(cache_implementation="hybrid")
    assert report.flags == ["not_as_requested"]
    assert "hybrid" in report.effective["not_as_requested"][0]
    with pytest.raises(EngineLoadError, match="cache_implementation='hybrid'"):
        load(strict=True, cache_implementation="hybrid")


@pytest.mark.proves("transformers.cache_config", "transformers.cache_implementation")
def test_a_quantized_cache_needs_its_package_and_takes_its_settings(
    load, ask, rows, calls
):
    """Refused by name without it; with it the cache has so many bits."""
    section = {
        "cache_implementation": "quantized",
        "cache_config": {"backend": "quanto", "nbits": 2},
    }
    if not transformers.utils.is_optimum_quanto_available():
        with pytest.raises(ConfigError, match="pip install optimum-quanto"):
            load(**section)
        return
    engine, _ = load(strict=True, return_dict_in_generate=True, **section)
    seen = calls(engine)
    ask(engine, rows(5), count=3)
    assert {call[2] for call in seen} == {"QuantizedCache"}
    assert engine._kept.past_key_values.layers[0].nbits == 2


@pytest.mark.proves("transformers.prefill_chunk_size")
def test_a_prompt_is_computed_in_chunks(load, ask, rows, calls, bare):
    """Seven tokens in twos; the tokens out are those of the whole prompt."""
    engine, _ = load(strict=True, prefill_chunk_size=2)
    seen = calls(engine)
    (row,) = rows(7)
    got = ask(engine, [row], count=3)
    assert [call[1] for call in seen] == [2, 2, 2, 1, 1, 1]
    assert tokens(got) == [bare(row, 3)]
    assert got["work"] == [Work(1, k, 2, 1) for k in (0, 2, 4)] + [Work(1, 6, 1, 3)]


@pytest.mark.proves("transformers.disable_compile")
def test_a_static_cache_is_compiled_only_where_that_is_not_disabled(load, ask, rows):
    """The library has a switch of its own that lets it compile on a CPU as well."""
    ready = CompileConfig(backend="eager", mode=None)
    ready._compile_all_devices = True
    compiled = []
    for disable in (None, True):
        engine, _ = load(
            strict=True, cache_implementation="static", disable_compile=disable
        )
        engine._beside = lambda _config: {"compile_config": ready}
        ask(engine, rows(3), count=3)
        compiled.append(hasattr(engine._model, "_compiled_call"))
    assert compiled == [True, False]


# Beams and texts


@pytest.mark.proves("decoder.num_beams")
@pytest.mark.parametrize("beams", [2, 4])
def test_beams_of_a_padded_batch_find_what_each_prompt_would_alone(
    load, ask, rows, bare, beams
):
    """Unequal lengths, several beams: tokens and their counts are exact (C08)."""
    engine, _ = load(strict=True)
    prompts = rows(3, 11, 7)
    got = ask(engine, prompts, batch_size=3, decoder={"num_beams": beams})
    alone = [
        tokens(ask(engine, [row], batch_size=1, decoder={"num_beams": beams}))[0]
        for row in prompts
    ]
    assert tokens(got) == alone
    assert alone != [bare(row, 12) for row in prompts]
    assert got["work"] == [Work(rows=3 * beams, cached=0, new=11, steps=12)]


@pytest.mark.parametrize(
    "decoder",
    [
        {"do_sample": False, "temperature": 0.0},
        {"do_sample": True, "temperature": 0.3, "top_k": 10},
        {"do_sample": True, "temperature": 1.0, "top_p": 0.95, "top_k": 50},
        {
            "do_sample": True,
            "temperature": 0.8,
            "top_p": 0.9,
            "repetition_penalty": 1.05,
        },
    ],
    ids=["deterministic", "factual", "standard", "creative"],
)
def test_counts_of_decoder_presets_are_those_of_single_requests(
    load, ask, rows, decoder
):
    """Every row of a batch of unequal lengths has what was asked, pads apart."""
    engine, _ = load(strict=True)
    prompts = rows(3, 11, 7, 5)
    got = ask(engine, prompts, count=6, batch_size=4, decoder=decoder, seed=1)
    assert [one.output_tokens for one in got["completions"]] == [6] * 4
    assert [one.input_tokens for one in got["completions"]] == [3, 11, 7, 5]
    assert got["padding_tokens"] == 4 * 11 - (3 + 11 + 7 + 5)


@pytest.mark.proves("transformers.early_stopping", "transformers.length_penalty")
def test_the_settings_of_beams_change_how_long_they_search(load, ask, rows):
    """A search that may stop early takes no more steps, and reaches the scorer."""
    prompts, steps, outputs = rows(4, 9), {}, {}
    decoder = {"num_beams": 3}
    ends = list(range(0, 384, 4))
    for name, section in {
        "early": {"early_stopping": True},
        "never": {"early_stopping": "never"},
        "long": {"length_penalty": 9.0},
        "short": {"length_penalty": -9.0},
    }.items():
        engine, report = load(strict=True, eos_token_id=ends, **section)
        assert section.items() <= report.effective["generation"].items()
        got = ask(engine, prompts, count=24, min_output_tokens=0, decoder=decoder)
        steps[name] = sum(got["native"]["decoding_steps"])
        outputs[name] = sum(map(len, tokens(got)))
    assert steps["early"] < steps["never"]
    assert outputs["short"] < outputs["long"]


@pytest.mark.proves("transformers.num_return_sequences")
@pytest.mark.parametrize("decoder", [{"do_sample": True}, {"num_beams": 3}])
def test_several_texts_of_a_prompt_are_one_request(load, ask, rows, calls, decoder):
    """All of their tokens count, in the order of the prompts, pads of each as well."""
    engine, _ = load(strict=True, num_return_sequences=3)
    seen = calls(engine)
    prompts = rows(3, 7)
    got = ask(engine, prompts, count=4, decoder=decoder, seed=3)
    assert [one.output_tokens for one in got["completions"]] == [12, 12]
    assert [one.texts for one in got["completions"]] == [3, 3]
    assert got["padding_tokens"] == 3 * (7 - 3)
    assert {call[0] for call in seen} == {6}
    assert got["work"] == [Work(rows=6, cached=0, new=7, steps=4)]
    texts = [
        tuple(one.output_ids[first : first + 4])
        for one in got["completions"]
        for first in (0, 4, 8)
    ]
    assert len(set(texts)) > 2
    if "do_sample" in decoder:
        got = ask(engine, prompts, count=4, decoder=decoder, output_limits=(2, 4))
        assert [one.output_tokens for one in got["completions"]] == [6, 12]
    with pytest.raises(ConfigError, match="num_return_sequences=1"):
        ask(engine, prompts, stamps=True)


# Ends


@pytest.mark.proves("transformers.eos_token_id")
def test_a_request_ends_at_the_ids_asked_for(load, ask, rows, bare):
    """Counted up to the first of them, that included; -1 is none."""
    prompts = rows(3, 9)
    outputs = [bare(row, 12) for row in prompts]
    ends = [outputs[0][4], outputs[1][2]]
    engine, _ = load(strict=True, eos_token_id=ends)
    got = ask(engine, prompts, min_output_tokens=0)
    for output, one in zip(outputs, got["completions"], strict=True):
        first = min(output.index(end) for end in ends if end in output)
        assert one.output_ids == output[: first + 1]
        assert one.finish_reason == "stop"
    none, _ = load(strict=True, eos_token_id=-1)
    assert tokens(ask(none, prompts, min_output_tokens=0)) == outputs


@pytest.mark.proves("transformers.stop_strings")
def test_a_request_ends_with_a_text_asked_for(load, ask, rows, bare):
    """The other row goes on; what fills the first one up is not counted."""
    engine, _ = load(strict=True)
    prompts = rows(3, 9)
    outputs = [bare(row, 12) for row in prompts]
    letters = [place for place, token in enumerate(outputs[0][:8]) if 32 < token < 127]
    (stop,) = engine.detokenize([[outputs[0][letters[0]]]])
    stopping, _ = load(strict=True, stop_strings=[stop, "\x01\x02"])
    got = ask(stopping, prompts, min_output_tokens=0)
    first = got["completions"][0]
    assert first.output_ids == outputs[0][: letters[0] + 1]
    assert first.finish_reason == "stop"
    steps = got["native"]["decoding_steps"][0]
    pads = 2 * steps - sum(map(len, tokens(got))) + 9 - 3
    assert got["padding_tokens"] == pads


@pytest.mark.proves("transformers.max_time")
def test_a_request_ends_when_its_time_is_over(load, ask, rows):
    """A thousand tokens take longer than a hundredth of a second."""
    engine, _ = load(strict=True, max_time=0.01, eos_token_id=-1)
    (one,) = ask(engine, rows(3), count=1000, min_output_tokens=0)["completions"]
    assert 1 <= one.output_tokens < 1000
    assert one.finish_reason == "unknown"


# Scores


PROCESSORS = {
    "typical_p": (0.5, "TypicalLogitsWarper"),
    "epsilon_cutoff": (0.01, "EpsilonLogitsWarper"),
    "eta_cutoff": (0.01, "EtaLogitsWarper"),
    "top_h": (0.5, "TopHLogitsWarper"),
    "decoder.temperature": (0.5, "TemperatureLogitsWarper"),
    "decoder.top_p": (0.5, "TopPLogitsWarper"),
    "decoder.top_k": (7, "TopKLogitsWarper"),
    "decoder.min_p": (0.1, "MinPLogitsWarper"),
    "decoder.repetition_penalty": (1.3, "RepetitionPenaltyLogitsProcessor"),
    "decoder.no_repeat_ngram_size": (2, "NoRepeatNGramLogitsProcessor"),
}


@pytest.mark.proves(
    "transformers.typical_p",
    "transformers.epsilon_cutoff",
    "transformers.eta_cutoff",
    "transformers.top_h",
    "decoder.temperature",
    "decoder.top_p",
    "decoder.top_k",
    "decoder.min_p",
    "decoder.repetition_penalty",
    "decoder.no_repeat_ngram_size",
)
@pytest.mark.parametrize("name", PROCESSORS)
def test_scores_are_changed_at_every_step(load, ask, rows, monkeypatch, name):
    """The library's own code for it runs once a token, with the value asked for."""
    value, processor = PROCESSORS[name]
    kind = getattr(logits_process, processor)
    used, original = [], kind.__call__

    def counted(self, *args, **kwargs):
        used.append(vars(self))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(kind, "__call__", counted)
    _, dot, option = name.partition("decoder.")
    engine, _ = load(strict=True, **({} if dot else {name: value}))
    sampling = {"do_sample": True, **({option: value} if dot else {})}
    ask(engine, rows(4), count=3, decoder=sampling)
    assert len(used) == 3
    held = [each for each in used[0].values() if isinstance(each, (int, float))]
    held += [float(each) for each in used[0].values() if torch.is_tensor(each)]
    assert any(each == pytest.approx(value) for each in held)


@pytest.mark.proves("transformers.guidance_scale")
def test_guidance_computes_every_step_twice(load, ask, rows, calls):
    """Two forward calls for each token, and other tokens come out."""
    engine, _ = load(strict=True, guidance_scale=3.0)
    seen = calls(engine)
    got = ask(engine, rows(5), count=4)
    assert len(seen) == 2 * 4
    assert got["work"] == [Work(1, 0, 5, 4), Work(1, 0, 1, 4, cache="beside")]
    plain, _ = load(strict=True)
    assert tokens(got) != tokens(ask(plain, rows(5), count=4))


@pytest.mark.proves(
    "transformers.output_scores",
    "transformers.output_logits",
    "transformers.return_dict_in_generate",
    "transformers.output_hidden_states",
    "transformers.output_attentions",
)
@pytest.mark.parametrize(
    ("section", "kept"),
    [
        ({}, "past_key_values"),
        ({"output_scores": True}, "scores"),
        ({"output_logits": True}, "logits"),
        ({"output_hidden_states": True}, "hidden_states"),
        ({"output_attentions": True, "attn_implementation": "eager"}, "attentions"),
    ],
    ids=["dict", "scores", "logits", "hidden_states", "attentions"],
)
def test_what_is_to_be_kept_is_kept_and_its_size_told(load, ask, rows, section, kept):
    """Sizes of the last pass; the tokens are the same."""
    engine, _ = load(strict=True, return_dict_in_generate=True, **section)
    got = ask(engine, rows(5), count=3)
    sizes = got["native"]["kept_mb"]
    assert sizes[kept] > 0
    if kept in ("scores", "logits"):
        assert sizes[kept] == 3 * 384 * 4 / 1e6
    plain, _ = load(strict=True)
    bare = ask(plain, rows(5), count=3)
    assert tokens(got) == tokens(bare)
    assert bare["native"]["kept_mb"] is None


@pytest.mark.proves("transformers.extra.generate")
def test_further_fields_of_generation_are_passed_on(load, ask, rows, bare):
    """Suppressed ids do not come; a field that there is not is refused."""
    (row,) = rows(5)
    usual = bare(row, 4)
    engine, report = load(
        strict=True, extra={"generate": {"suppress_tokens": [usual[0]]}}
    )
    assert usual[0] not in tokens(ask(engine, [row], count=4))[0]
    assert report.effective["generation"]["suppress_tokens"] == [usual[0]]
    with pytest.raises(ConfigError, match="did you mean"):
        load(extra={"generate": {"supress_tokens": [1]}})


@pytest.mark.proves(
    "transformers.continuous_batching.max_memory_percent",
    "transformers.continuous_batching.auto_switch_to_flash",
    "transformers.continuous_batching.default_compile_level",
    "transformers.continuous_batching.varlen_compile_config.backend",
    "transformers.continuous_batching.varlen_compile_config.dynamic",
    "transformers.continuous_batching.varlen_compile_config.fullgraph",
)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_memory_percent", 0.5),
        ("auto_switch_to_flash", True),
        ("default_compile_level", 0),
        pytest.param(
            "varlen_compile_config",
            {"backend": "eager", "dynamic": True, "fullgraph": False},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_continuous_batching_is_set_as_asked(load, rows, key, value):
    """In the configuration of the library's own manager, once it is ready."""
    small = {"enabled": True, "num_blocks": 16, "max_batch_tokens": 64, "page_size": 32}
    engine, _ = load(continuous_batching={**small, key: value})
    engine.prepare(rows(4), GenerateOptions(output_tokens=2, min_output_tokens=2))
    found = getattr(engine._continuous._manager.continuous_batching_config, key)
    if isinstance(value, dict):
        assert value.items() <= vars(found).items()
    else:
        assert found == value
