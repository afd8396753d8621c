"""Passes of the scripted TensorRT-LLM: requests, cache, queue, drafts, failures."""

import json
import time
from itertools import pairwise

import pytest

from pytest_lem.analysis.flops import Work
from pytest_lem.engines import GenerateOptions
from pytest_lem.errors import (
    ConfigError,
    EngineLoadError,
    GenerationError,
    OutOfMemory,
)


def tokens(got):
    return [one.output_ids for one in got["completions"]]


def stamped_in_order(one):
    """As many stamps as tokens, between the request's ends, none before another."""
    times = [one.sent_ns, *one.token_ns, one.ended_ns]
    return len(one.token_ns) == one.output_tokens and times == sorted(times)


@pytest.mark.proves("model", "output_tokens", "min_output_tokens", "batch_size")
def test_a_load_tells_what_there_is(start, llama):
    """Facts of the model, the engine's own words, and that it is a scripted one."""
    _, report = start(max_batch_size=3, max_seq_len=512)
    model = report.model
    assert model["architecture"] == "LlamaForCausalLM"
    assert model["closed_form"] == "unchecked"
    assert (model["parameters"], model["context_length"]) == (None, 512)
    assert model["reserved_ids"] == [256, 257, 258]
    assert all(model[k] for k in ("config_sha256", "tokenizer_sha256"))
    assert report.devices == ["cuda:0"]
    assert report.flags == ["fake_engine"]
    told = report.effective
    assert (told["max_batch_size"], told["dtype"]) == (3, "float16")
    assert told["attention"] == ["TRTLLM"]
    assert told["prefix_caching"] == "emptied"
    assert told["compiled"] is None
    assert told["quantisation"] is None
    assert told["environment"]["TRTLLM_NO_USAGE_STATS"] == "1"
    assert json.loads(json.dumps(told)) == told


def test_what_is_sent_is_told(start, ask, rows):
    """Greedy is the likeliest token alone, whatever the version calls its default."""
    engine, _ = start()
    sent = ask(engine, rows(4), count=3)["native"]["sampling"]
    wanted = {"top_k": 1, "max_tokens": 3, "min_tokens": 3, "ignore_eos": True}
    assert {key: sent[key] for key in wanted} == wanted
    assert "temperature" not in sent


@pytest.mark.proves("decoder.do_sample", "seed")
def test_a_seed_decides_what_is_drawn(start, ask, rows):
    """Only where tokens are drawn; a temperature of 0 draws none."""
    engine, _ = start()
    likeliest = tokens(ask(engine, rows(9)))
    drawn = {"decoder": {"do_sample": True}}
    assert tokens(ask(engine, rows(9), seed=1, **drawn)) != likeliest
    first, again = (tokens(ask(engine, rows(9), seed=4, **drawn)) for _ in range(2))
    assert first == again
    cold = {"decoder": {"do_sample": True, "temperature": 0}}
    assert tokens(ask(engine, rows(9), seed=4, **cold)) == likeliest


def test_a_request_may_end_by_itself(start, ask, rows):
    """Where its length is not forced, but never before the least."""
    engine, _ = start()
    got = ask(engine, rows(5, 6, 7), count=40, min_output_tokens=0)
    assert {one.finish_reason for one in got["completions"]} == {"stop"}
    got = ask(engine, rows(5, 6, 7), count=40, min_output_tokens=9)
    assert min(one.output_tokens for one in got["completions"]) == 9


def test_prompts_are_computed_again_in_each_pass(start, ask, rows):
    """By a salt of the pass's own; within one a hit is flagged."""
    engine, _ = start()
    prompts = rows(96)
    for _ in range(2):
        told = ask(engine, prompts, count=2)["native"]
        assert told["cached_prompt_tokens"] == 0
        assert "prefix_cache_hits" not in told["flags"]
    told = ask(engine, prompts * 6, count=2, batch_size=4)["native"]
    assert told["cached_prompt_tokens"] > 0
    assert "prefix_cache_hits" in told["flags"]


def test_a_cache_that_was_asked_for_is_kept(start, ask, rows):
    """The second pass is served from it, which is told and no fault."""
    engine, report = start(kv_cache_config={"enable_block_reuse": True})
    prompts = rows(96)
    assert ask(engine, prompts, count=2)["native"]["cached_prompt_tokens"] == 0
    told = ask(engine, prompts, count=2)["native"]
    assert told["cached_prompt_tokens"] == 64
    assert told["flags"] == []
    assert told["scheduler"]["prefix_cache_hits"] == 64
    assert report.effective["prefix_caching"] == "on"
    _, report = start(kv_cache_config={"enable_block_reuse": False})
    assert report.effective["prefix_caching"] == "off"


def test_the_scheduler_tells_of_each_pass_alone(start, ask, rows):
    """Steps, queue and cache; what it never tells is null with a reason."""
    engine, _ = start(max_batch_size=2)
    for _ in range(2):
        got = ask(engine, rows(33, 40, 5), count=6, batch_size=3)
        told = got["native"]["scheduler"]
        assert 12 <= told["steps"] <= 14
        assert (told["running_max"], told["preemptions"]) == (2, 0)
        assert told["kv_cache_capacity_tokens"] == 32000
        assert 0 < told["kv_cache_peak_pct"] < 1
        assert told["nulls"] == dict.fromkeys(
            ("generation_tokens", "cuda_graph_steps"), "not_reported_by_engine"
        )
        assert got["memory"]["kv_cache_read_mb"] > 0
        assert "batch_size_limited" in got["native"]["flags"]
    assert got["native"]["gpu_memory_mb"] == 4000
    times = got["native"]["request_times_ms"]
    assert [len(times[kind]) for kind in ("queue", "prefill", "decode")] == [3, 3, 3]
    assert times["queue"][2] > max(times["queue"][:2])


def test_what_is_not_told_is_null_with_its_reason(start, ask, rows):
    """Where figures of steps, or of requests, are switched off."""
    engine, _ = start(enable_iter_perf_stats=False, return_perf_metrics=False)
    native = ask(engine, rows(5))["native"]
    assert native["scheduler"]["steps"] is None
    reason = "needs_tensorrt.enable_iter_perf_stats"
    assert native["scheduler"]["nulls"]["steps"] == reason
    assert native["request_times_ms"] == dict.fromkeys(("queue", "prefill", "decode"))


def test_figures_that_fell_out_of_the_ring_are_missed(start, ask, rows):
    """Nothing is added up of the rest, and the pass says so."""
    engine, _ = start(max_stats_len=4)
    ask(engine, rows(5), count=3)
    native = ask(engine, rows(5), count=12)["native"]
    assert "iteration_stats_dropped" in native["flags"]
    assert native["scheduler"]["steps"] is None
    assert native["scheduler"]["nulls"]["steps"] == "iteration_stats_dropped"
    assert (
        "iteration_stats_dropped"
        not in ask(engine, rows(5), count=2)["native"]["flags"]
    )


def test_steps_of_unequal_answers_are_told_where_all_begin_together(start, ask, rows):
    """Else the next request takes a place that frees, at a step that nobody tells."""
    engine, _ = start(max_batch_size=2)
    prompts = rows(5, 6, 7)
    got = ask(engine, prompts[:2], batch_size=2, output_limits=(3, 8))
    assert [(one.new, one.steps) for one in got["work"]] == [(5, 3), (6, 8)]
    got = ask(engine, prompts, batch_size=2, output_limits=(3, 8, 4))
    assert got["work"] is None


def test_forward_calls_are_told(start, ask, rows):
    """Those of requests that fit together share their steps; alike they are one."""
    engine, _ = start(max_batch_size=4)
    got = ask(engine, rows(8, 8, 8, 8, 8, 8), count=5, batch_size=4)
    assert got["work"] == [
        Work(rows=4, cached=0, new=8, steps=5),
        Work(rows=2, cached=0, new=8, steps=5),
    ]
    assert ask(engine, rows(8, 9), count=5)["work"] == [
        Work(rows=1, cached=0, new=8, steps=5),
        Work(rows=1, cached=0, new=9, steps=5, cache="shared"),
    ]


def test_drafts_are_counted_by_request(start, ask, rows):
    """And their tokens come several at a time, which a stream says."""
    engine, _ = start(speculative_config={"decoding_type": "NGram", "max_draft_len": 4})
    got = ask(engine, rows(5, 9), count=9)
    told = got["native"]["speculation"]
    assert told["accepted_tokens"] == 2 * (9 - 1) - (told["verify_calls"] - 2)
    assert told["drafted_tokens"] == 4 * (told["verify_calls"] - 2)
    assert got["work"] is None
    got = ask(engine, rows(5), count=9, batch_size=1, stamps=True)
    assert stamped_in_order(got["completions"][0])
    assert "itl_per_chunk" in got["native"]["flags"]


def test_each_token_has_a_stamp(start, ask, rows):
    """One request at a time, or together with times of their own."""
    engine, _ = start(max_batch_size=2)
    prompts = rows(7, 40, 5)
    wanted = tokens(ask(engine, prompts, count=9))
    got = ask(engine, prompts, count=9, batch_size=1, stamps=True)
    assert tokens(got) == wanted
    assert all(map(stamped_in_order, got["completions"]))
    assert got["batches"] == [1, 1, 1]
    assert got["native"]["path"] == "LLM.generate_async"
    assert "itl_per_chunk" not in got["native"]["flags"]
    assert all(a.ended_ns <= b.sent_ns for a, b in pairwise(got["completions"]))
    got = ask(engine, prompts, count=9, batch_size=3, stamps=True)
    assert (tokens(got), got["batches"]) == (wanted, [3])
    first, _, last = got["completions"]
    assert last.token_ns[0] >= first.ended_ns


@pytest.mark.parametrize("stamps", [True, False])
def test_requests_are_taken_as_they_are_sent(start, ask, rows, stamps):
    """When they are due, or when others have ended; those without a place wait."""
    engine, _ = start(max_batch_size=2)
    prompts = rows(7, 40, 5, 9)
    wanted = tokens(ask(engine, prompts, count=9))
    got = ask(engine, prompts, count=9, stamps=stamps, concurrency=3)
    done, native = got["completions"], got["native"]
    assert (tokens(got), got["batches"], got["work"]) == (wanted, [4], None)
    assert (native["at_once"], native["path"]) == (2, "LLM.generate_async")
    assert "itl_per_chunk" not in native["flags"]
    first_end = min(one.ended_ns for one in done)
    assert [one.sent_ns < first_end for one in done] == [True] * 3 + [False]
    assert native["request_times_ms"]["queue"][2] > 0
    due_ns = (0, 1, 2, 30_000_000)
    got = ask(engine, prompts, count=9, stamps=stamps, due_ns=due_ns)
    assert tokens(got) == wanted
    assert [at - got["due_ns"][0] for at in got["due_ns"]] == list(due_ns)
    for due, one in zip(got["due_ns"], got["completions"], strict=True):
        assert due <= one.sent_ns < one.ended_ns
        assert len(one.token_ns) == (9 if stamps else 0)


@pytest.mark.parametrize("count", [1, 2])
def test_a_beam_search_gives_the_texts_that_were_asked_for(start, ask, rows, count):
    """Its width is said to the engine and to the request; one text is the rule."""
    engine, _ = start(max_beam_width=3, **({"n": count} if count > 1 else {}))
    got = ask(engine, rows(5), count=4, decoder={"num_beams": 3})
    assert [one.texts for one in got["completions"]] == [count]
    sent = got["native"]["sampling"]
    assert (sent["use_beam_search"], sent["best_of"], sent["n"]) == (True, 3, count)
    assert got["work"] is None


@pytest.mark.proves("adapter")
def test_an_adapter_goes_with_every_request(start, ask, rows, llms, tmp_path):
    """Room for it is made; one that is not there is told at the load."""
    plain = tokens(ask(start()[0], rows(9)))
    engine, report = start(adapter=str(tmp_path), max_lora_rank=8)
    assert tokens(ask(engine, rows(9))) != plain
    lora = llms()[-1].args.lora_config
    assert (lora.lora_dir, lora.max_lora_rank, lora.max_loras) == (
        [str(tmp_path)],
        8,
        1,
    )
    assert report.effective["adapter"] == str(tmp_path)
    with pytest.raises(EngineLoadError, match=r"lora_path \(/nowhere\) does not exist"):
        start(adapter="/nowhere")


def test_an_adapter_of_the_hub_is_fetched_before_the_start(
    start, llms, on_hub, tmp_path
):
    """TensorRT-LLM gets a directory, the record the commit."""
    (tmp_path / "adapter").mkdir()
    commit = on_hub(tmp_path / "adapter", "owner/lora")
    effective = start(adapter="owner/lora@v1")[1].effective
    assert effective["adapter_revision"] == commit
    (folder,) = llms()[-1].args.lora_config.lora_dir
    assert folder.endswith(commit)


def test_a_shape_without_weights_gets_made_up_ones(start, llms):
    """TensorRT-LLM's own, so the seed is not told as if it had been used."""
    _, report = start(weights="random", weights_seed=7)
    assert llms()[-1].args.load_format == "dummy"
    (line,) = report.effective["not_as_requested"]
    assert line.startswith("random weights of seed 7 were asked for")
    assert "not_as_requested" in report.flags
    with pytest.raises(ConfigError, match="needs a checkpoint: these weights are made"):
        start(weights="random", load_format="auto")


def test_the_quantisation_in_force_is_told(start, llama, tmp_path):
    """Of the checkpoint and of the cache, as the engine has them."""
    for path in llama.iterdir():
        (tmp_path / path.name).symlink_to(path)
    quantised = {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}
    told = {"quantization": quantised}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(told))
    _, report = start(model=str(tmp_path), kv_cache_config={"dtype": "fp8"})
    assert report.effective["quantisation"] == {
        "algorithm": "FP8",
        "kv_cache_algorithm": "FP8",
        "excluded": ["lm_head"],
        "layers": None,
        "declared": "FP8",
    }
    assert report.effective["precision"]["weights"] is None
    assert report.effective["precision"]["quantisation"] == "FP8"


@pytest.mark.parametrize(
    ("prompts", "changes", "told"),
    [
        ([[]], {}, "prompt 0 has no tokens"),
        ([[1] * 510], {"count": 9}, "that is 519: the longest that it takes is 512"),
        ([[1] * 300], {}, "a prompt has 300 tokens: tensorrt.max_num_tokens is 256"),
        ([[1]], {"decoder": {"top_z": 1}}, "key 'decoder.top_z' is unknown"),
        ([[1]], {"decoder": {"num_beams": 2}}, "above tensorrt.max_beam_width=1"),
    ],
)
def test_what_cannot_be_asked_is_told_before_the_window(
    start, ask, prompts, changes, told
):
    """In one line, without starting the pass."""
    engine, _ = start(max_seq_len=512, max_num_tokens=256)
    with pytest.raises(ConfigError, match=told):
        ask(engine, prompts, **{"count": 2, **changes})


def test_a_text_too_many_is_no_stream(start, ask, rows):
    """Token times need one text of each prompt."""
    engine, _ = start(n=2)
    with pytest.raises(ConfigError, match="token times need one text"):
        ask(engine, rows(5), stamps=True, decoder={"do_sample": True})


@pytest.mark.parametrize("stamps", [True, False])
def test_a_request_over_its_limit_is_ended(start, ask, rows, stamps):
    """By `abort`, with the tokens that had come; the others go on."""
    engine, _ = start()
    asked = {"stamps": stamps, "batch_size": 2, "request_timeout_s": 0.2}
    got = ask(engine, rows(5, 6), count=3000, output_limits=(4, 3000), **asked)
    whole, late = got["completions"]
    assert (whole.outcome, whole.output_tokens) == ("completed", 4)
    assert (late.outcome, late.error) == ("timeout", "ended at request_timeout_s=0.2")
    assert 0 < late.output_tokens < 3000
    assert late.ended_ns - late.sent_ns >= 200_000_000
    assert len(late.token_ns) == (late.output_tokens if stamps else 0)


def test_a_request_that_the_engine_ends_has_failed_alone(start, ask, rows, llms):
    """By the engine's own word for it."""
    engine, _ = start()
    (llm,) = llms()
    step = llm._executor._step

    def cancelled(request, now_s):
        if len(request.prompt_token_ids) == 6 and request.made == 2:
            request.abort()
        step(request, now_s)

    llm._executor._step = cancelled
    for changes in ({}, {"stamps": True, "batch_size": 2}):
        whole, late = ask(engine, rows(5, 6), count=4, **changes)["completions"]
        assert (whole.outcome, late.outcome) == ("completed", "cancelled")
        assert late.error == "the engine ended it by 'cancelled' after 2 tokens"


def test_what_fails_while_generating_is_a_kind_of_failure(start, ask, rows, llms):
    """By what TensorRT-LLM says."""
    engine, _ = start()
    (llm,) = llms()
    for error, kind in (
        (RuntimeError("CUDA out of memory. Tried to"), OutOfMemory),
        (ValueError("bad request"), GenerationError),
    ):
        llm._executor._step = lambda request, now_s, error=error: broken(request, error)
        with pytest.raises(kind, match=str(error)[:9]):
            ask(engine, rows(5))
        with pytest.raises(kind):
            ask(engine, rows(5), batch_size=1, stamps=True)


def test_what_requests_did_until_it_failed_is_told(start, rows, llms):
    """Of those that were followed as they came."""
    engine, _ = start()
    (llm,) = llms()
    step = llm._executor._step

    def fails(request, now_s):
        if len(request.prompt_token_ids) == 6 and request.made == 9:
            broken(request, ValueError("no more"))
        else:
            step(request, now_s)

    llm._executor._step = fails
    asked = GenerateOptions(
        output_tokens=50,
        min_output_tokens=50,
        output_limits=(2, 50),
        stamps=True,
        batch_size=2,
    )
    batches = engine.prepare(rows(5, 6), asked)
    with pytest.raises(GenerationError, match="no more"):
        engine.run(batches[0], asked)
    spans = [(0, time.monotonic_ns())]
    whole, failed = engine.salvage(batches, [], spans, asked, "it broke")
    assert (whole.outcome, whole.output_tokens) == ("completed", 2)
    assert (failed.outcome, failed.error) == ("engine_error", "it broke")
    assert failed.output_tokens == len(failed.token_ns) == 9


def broken(request, error):
    """A request that ends by an error."""
    request.done = True
    request.say(error)


def test_a_start_that_fails_says_why_in_one_line(start):
    """Of a validation what is wrong."""
    with pytest.raises(EngineLoadError, match=r"load '/nowhere/': no config\.json"):
        start(model="/nowhere/")
    with pytest.raises(EngineLoadError, match="max_seq_len: Input should be a valid"):
        start(extra={"engine": {"max_seq_len": "long"}})
