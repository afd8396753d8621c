"""What a request is sampled by reaches the real vLLM and changes what comes out."""

from contextlib import contextmanager

import pytest

pytest.importorskip("vllm")

from pytest_lem.engines import GenerateOptions
from pytest_lem.engines.vllm.sampling import plain, sampling
from pytest_lem.errors import ConfigError

DRAWS = {"do_sample": True}


def tokens(got):
    return [one.output_ids for one in got["completions"]]


@pytest.fixture(scope="module")
def engine(start):
    """One engine for all tests; texts of equal prompts share their cache."""
    return start(max_num_seqs=8)[0]


@pytest.fixture
def sampled(engine, ask):
    """A pass with values of the section that only requests look at."""

    @contextmanager
    def section(values):
        before, engine._section = engine._section, {**engine._section, **values}
        try:
            yield
        finally:
            engine._section = before

    def run(prompts, *, count=8, options=None, **values):
        with section(values):
            return ask(engine, prompts, count=count, **(options or {}))

    return run


def sent(section=None, **options):
    """What vLLM is sent, as plain values."""
    options = GenerateOptions(output_tokens=8, **options)
    return plain(sampling(options, section or {}))


@pytest.mark.proves("output_tokens", "min_output_tokens", "seed", "decoder.do_sample")
def test_options_become_sampling_parameters():
    """Greedy and of forced length, unless they say otherwise."""
    forced = sent(min_output_tokens=8, seed=5)
    told = {k: forced[k] for k in ("max_tokens", "min_tokens", "ignore_eos", "seed")}
    assert told == {"max_tokens": 8, "min_tokens": 8, "ignore_eos": True, "seed": 5}
    free = sent(min_output_tokens=0, decoder={"temperature": 0.5})
    told = {k: free[k] for k in ("min_tokens", "ignore_eos", "temperature")}
    assert told == {"min_tokens": 0, "ignore_eos": False, "temperature": 0.0}


@pytest.mark.proves("decoder.temperature", "decoder.top_p", "decoder.min_p")
def test_drawing_has_its_options():
    """The decoder's, in vLLM's words."""
    asked = {"temperature": 0.5, "top_p": 0.8, "min_p": 0.1}
    told = sent(decoder={**DRAWS, **asked})
    assert {key: told[key] for key in asked} == asked


@pytest.mark.proves("decoder.top_k")
@pytest.mark.parametrize(("asked", "value"), [(0, -1), (7, 7)])
def test_a_top_k_of_0_is_sent_as_minus_1(asked, value):
    """All tokens, in every version of vLLM."""
    assert sent(decoder={**DRAWS, "top_k": asked})["top_k"] == value


def test_the_same_seed_draws_the_same_tokens(sampled, rows):
    """And another one others."""
    prompts = rows(9, 12)

    def drawn(seed):
        options = {"decoder": DRAWS, "seed": seed}
        return tokens(sampled(prompts, count=16, options=options))

    assert drawn(1) == drawn(1) != drawn(2)


@pytest.mark.proves("decoder.repetition_penalty")
@pytest.mark.proves("vllm.presence_penalty", "vllm.frequency_penalty")
def test_penalties_are_sent():
    """vLLM checks them; on CPUs it compiles for each kind of them."""
    asked = {"presence_penalty": 0.5, "frequency_penalty": -0.5}
    told = sent(asked, decoder={"repetition_penalty": 1.5})
    assert {key: told[key] for key in asked} == asked
    assert told["repetition_penalty"] == 1.5


@pytest.mark.proves("vllm.logit_bias")
def test_a_bias_decides(sampled):
    """Numbers that JSON made text are numbers again."""
    assert tokens(sampled([[5, 6]], logit_bias={"42": 100.0})) == [[42] * 8]


@pytest.mark.proves("vllm.n")
def test_several_texts_are_one_request(sampled, rows):
    """All their tokens count, and the work is not claimed to be known."""
    got = sampled(rows(6, 6), n=3, options={"decoder": DRAWS, "min_output_tokens": 8})
    assert [one.texts for one in got["completions"]] == [3, 3]
    assert [one.output_tokens for one in got["completions"]] == [24, 24]
    assert got["work"] is None


@pytest.mark.proves("vllm.ignore_eos", "vllm.stop_token_ids", "vllm.stop")
def test_a_request_stops_where_it_is_told(sampled):
    """At an end token, at one of the section's, at a text, or not at all."""
    free = {"options": {"min_output_tokens": 0}}

    def ended(ids_, **section):
        got = sampled([[5, 6]], logit_bias={ids_: 100.0}, **section)
        (one,) = got["completions"]
        return one.output_tokens, one.finish_reason

    assert ended("257", **free) == (1, "stop")
    assert ended("257", ignore_eos=True, **free) == (8, "length")
    assert ended("42", stop_token_ids=[42], **free) == (1, "stop")
    assert ended("97", stop="aaa", **free) == (3, "stop")


@pytest.mark.proves("vllm.detokenize")
def test_text_is_made_unless_told_otherwise(engine, sampled, rows):
    """The tokens are the same; vLLM's own outputs have no text."""
    texts = []
    original = engine._llm.generate

    def watched(*arguments, **rest):
        outputs = original(*arguments, **rest)
        texts.append(outputs[0].outputs[0].text)
        return outputs

    prompts = rows(7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine._llm, "generate", watched)
        made = tokens(sampled(prompts))
        assert tokens(sampled(prompts, detokenize=False)) == made
    assert texts[0]
    assert not texts[1]


@pytest.mark.proves("vllm.structured_outputs")
def test_a_grammar_is_followed(engine, sampled):
    """One of two words comes out, whatever the model likes."""
    choice = {"choice": ["yes", "no"]}
    got = sampled([[5, 6]], structured_outputs=choice, options={"min_output_tokens": 0})
    (text,) = engine.detokenize(tokens(got))
    assert text in choice["choice"]
    with pytest.raises(
        ConfigError, match=r"did you mean 'vllm\.structured_outputs\.reg"
    ):
        sampled([[5]], structured_outputs={"regexp": "a"})


@pytest.mark.proves("vllm.logprobs", "vllm.prompt_logprobs", "vllm.output_kind")
@pytest.mark.proves("vllm.skip_reading_prefix_cache", "vllm.extra.sampling")
def test_other_fields_are_sent_as_they_are():
    """In vLLM's own types."""
    given = {"logprobs": 2, "prompt_logprobs": 1, "skip_reading_prefix_cache": True}
    extra = {"extra": {"sampling": {"skip_special_tokens": False}}}
    told = sent({**given, "output_kind": "DELTA", **extra})
    assert {key: told[key] for key in given} == given
    assert told["output_kind"] == "DELTA"
    assert told["skip_special_tokens"] is False


def test_a_field_that_vllm_does_not_have_is_refused():
    """With the nearest name."""
    with pytest.raises(ConfigError, match=r"did you mean 'vllm\.extra\.sampling\.max"):
        sent({"extra": {"sampling": {"max_token": 3}}})
    with pytest.raises(ConfigError, match="vllm: "):
        sent({"n": 2})


@pytest.mark.proves("vllm.skip_reading_prefix_cache")
def test_a_request_may_leave_the_cache_alone(sampled, rows):
    """Equal prompts in one pass are then computed each."""
    prompts = rows(96) * 10
    assert sampled(prompts, count=2)["native"]["cached_prompt_tokens"] > 0
    cold = sampled(prompts, count=2, skip_reading_prefix_cache=True)
    assert cold["native"]["cached_prompt_tokens"] == 0


@pytest.mark.proves("decoder.num_beams", "vllm.beam_length_penalty")
def test_a_beam_search_finds_likelier_texts(sampled, bare):
    """It takes the search of vLLM's; one beam is greedy."""
    prompts = [[5, 6, 7], [9, 8]]
    beams = {"decoder": {"num_beams": 3}, "min_output_tokens": 8}
    got = sampled(prompts, options=beams, beam_length_penalty=0.5)
    assert [one.output_tokens for one in got["completions"]] == [8, 8]
    assert [one.input_tokens for one in got["completions"]] == [3, 2]
    assert got["work"] is None
    assert tokens(got) != [bare(row, 8) for row in prompts]
