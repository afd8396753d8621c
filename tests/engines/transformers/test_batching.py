"""Batching strategies on the real library: what is computed, and in which order."""

import pytest

from pytest_lem.errors import ConfigError

LENGTHS = (3, 11, 7, 20, 5)
LIMITS = (9, 1, 12, 4, 6)


@pytest.mark.proves(
    "transformers.batching.strategy", "transformers.batching.max_tokens_per_batch"
)
@pytest.mark.parametrize(
    ("batching", "sizes", "pads"),
    [
        ({"strategy": "sorted_static"}, [2, 2, 1], 9 + 2),
        (
            {"strategy": "dynamic", "max_tokens_per_batch": 22},
            [2, 1, 1, 1],
            8,
        ),
        (
            {"strategy": "sorted_dynamic", "max_tokens_per_batch": 22},
            [1, 2, 2],
            4 + 2,
        ),
    ],
    ids=lambda value: value["strategy"] if isinstance(value, dict) else None,
)
def test_a_strategy_changes_batches_and_pads_and_no_token(
    load, ask, rows, bare, batching, sizes, pads
):
    """Each prompt gets what it gets alone, in its own place, stamps as well."""
    engine, _ = load(batching=batching)
    prompts = rows(*LENGTHS)
    got = ask(engine, prompts, stamps=True)
    assert [one.output_ids for one in got["completions"]] == [
        bare(row, 12) for row in prompts
    ]
    assert [one.input_tokens for one in got["completions"]] == list(LENGTHS)
    assert {len(one.token_ns) for one in got["completions"]} == {12}
    assert got["batches"] == sizes
    assert got["padding_tokens"] == pads
    assert [work.rows for work in got["work"]] == sizes
    got = ask(engine, prompts, output_limits=LIMITS)
    assert [one.output_ids for one in got["completions"]] == firsts(bare, prompts)
    steps = [work.steps for work in got["work"]]
    assert steps == got["native"]["decoding_steps"]
    filled = sum(work.rows * work.steps for work in got["work"]) - sum(LIMITS)
    assert got["padding_tokens"] == pads + filled


def firsts(bare, prompts):
    """What each prompt gets alone, as far as its own limit."""
    return [bare(row, 12)[:k] for row, k in zip(prompts, LIMITS, strict=True)]


def test_a_row_that_is_done_is_not_filled_up_past_the_context(load, ask, rows):
    """It is computed while others go on, at places that the model may not have."""
    engine, _ = load()
    long, short = rows(4080, 3)
    asked = {"count": 40, "output_limits": (10, 40)}
    with pytest.raises(ConfigError, match="prompt 0 has 4080 tokens and waits"):
        ask(engine, [long, short], **asked)
    with pytest.raises(ConfigError, match="one output length for all rows"):
        ask(engine, [short], output_limits=(3,), decoder={"num_beams": 2})


CONTINUOUS = {
    "enabled": True,
    "num_blocks": 32,
    "max_batch_tokens": 64,
    "page_size": 32,
}


@pytest.fixture(scope="module")
def continuous(load):
    """An engine that batches continuously, in a small cache."""
    return load(continuous_batching={**CONTINUOUS, "allow_block_sharing": False})[0]


@pytest.mark.proves("transformers.continuous_batching.enabled")
def test_continuous_batching_gives_each_prompt_what_it_gets_alone(
    continuous, ask, rows, bare
):
    """In the order of the prompts, without a pad, more of them than run at once."""
    prompts = rows(*LENGTHS)
    got = ask(continuous, prompts)
    assert [one.output_ids for one in got["completions"]] == [
        bare(row, 12) for row in prompts
    ]
    assert got["batches"] == [5]
    assert got["padding_tokens"] == 0
    assert got["native"]["continuous_batching"]["max_requests_per_batch"] == 2
    assert got["native"]["continuous_batching"]["attention"] == "sdpa"
    assert got["native"]["flags"] == []
    got = ask(continuous, prompts, output_limits=LIMITS)
    assert [one.output_ids for one in got["completions"]] == firsts(bare, prompts)
    assert got["padding_tokens"] == 0


def test_the_library_s_stamps_are_of_the_clock_of_windows(continuous, ask, rows):
    """One for each token, within the pass; a second pass needs no new manager."""
    ask(continuous, rows(4, 9))
    manager = continuous._continuous._manager
    got = ask(continuous, rows(4, 9), stamps=True)
    for one in got["completions"]:
        assert len(one.token_ns) == 12
        assert one.sent_ns < one.token_ns[0] < one.token_ns[-1] < one.ended_ns
    assert continuous._continuous._manager is manager


def test_with_batch_size_one_requests_are_sent_one_by_one(continuous, ask, rows):
    """As a latency window has them."""
    got = ask(continuous, rows(4, 9, 6), batch_size=1, stamps=True)
    assert got["batches"] == [1, 1, 1]
    spans = [(one.sent_ns, one.ended_ns) for one in got["completions"]]
    assert spans == sorted(set(spans))


@pytest.mark.proves(
    "transformers.continuous_batching.num_blocks",
    "transformers.continuous_batching.page_size",
    "transformers.continuous_batching.max_requests_per_batch",
    "transformers.continuous_batching.max_batch_tokens",
    "transformers.continuous_batching.scheduler_type",
    "transformers.continuous_batching.allow_block_sharing",
    "transformers.continuous_batching.use_async_batching",
)
@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("num_blocks", 24, lambda batch: batch.cache.num_blocks),
        (
            "page_size",
            16,
            lambda batch: {
                one.tokens_per_page for one in batch.cache.cache_allocators.values()
            }.pop(),
        ),
        (
            "max_requests_per_batch",
            1,
            lambda batch: batch.scheduler.max_requests_per_batch,
        ),
        ("max_batch_tokens", 48, lambda batch: batch.cache.max_batch_tokens),
        (
            "scheduler_type",
            "prefill_first",
            lambda batch: {"PrefillFirstScheduler": "prefill_first"}[
                type(batch.scheduler).__name__
            ],
        ),
        ("allow_block_sharing", True, lambda batch: batch.cache.use_prefix_sharing),
        ("use_async_batching", False, lambda batch: batch.use_async_batching),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_parameters_of_continuous_batching_reach_the_library_s_objects(
    load, ask, rows, key, value, found
):
    """In the state of its own processor, while a pass works."""
    engine, _ = load(continuous_batching={**CONTINUOUS, key: value})
    got = ask(engine, rows(4, 6), count=3)
    assert found(engine._continuous._manager.batch_processor) == value
    assert got["native"]["continuous_batching"][key] == value
    assert len(got["completions"]) == 2


def test_a_manager_that_shares_pages_forgets_them_between_passes(load, ask, rows):
    """A window does not get what the warm-up computed."""
    engine, _ = load(continuous_batching=CONTINUOUS)
    first = ask(engine, rows(4), count=3)
    manager = engine._continuous._manager
    assert ask(engine, rows(4), count=3)["completions"][0].output_ids == (
        first["completions"][0].output_ids
    )
    assert engine._continuous._manager is not manager


def test_what_continuous_batching_would_get_wrong_is_refused(continuous, ask, rows):
    """Options of the decoder that the library would drop or misapply."""
    with pytest.raises(ConfigError, match=r"NoRepeatNGram.* does not work"):
        ask(continuous, rows(4), decoder={"no_repeat_ngram_size": 2})


def test_what_the_library_settles_otherwise_is_flagged(load, ask, rows):
    """CUDA graphs on a CPU are accepted, and left out; an error if strict."""
    asked = {**CONTINUOUS, "use_cuda_graph": True}
    got = ask(load(continuous_batching=asked)[0], rows(4), count=3)
    assert got["native"]["flags"] == ["not_as_requested"]
    engine, _ = load(continuous_batching=asked, strict=True)
    with pytest.raises(ConfigError, match="use_cuda_graph=True was asked for"):
        ask(engine, rows(4), count=3)


MS = 1_000_000


@pytest.fixture(scope="module")
def static(load):
    """An engine that takes whole batches."""
    return load()[0]


def test_requests_share_a_batch_with_those_that_wait_when_they_come_at_their_times(
    static, ask, rows, bare
):
    """First come, first served; each is there from when it was sent."""
    prompts, due_ns = rows(*LENGTHS), (0, 1, 2, 3, 100 * MS)
    got = ask(static, prompts, batch_size=4, due_ns=due_ns, stamps=True)
    done = got["completions"]
    assert [one.output_ids for one in done] == [bare(row, 12) for row in prompts]
    assert sum(got["batches"]) == 5
    assert [at - got["due_ns"][0] for at in got["due_ns"]] == list(due_ns)
    for due, one, waited_ms in zip(
        got["due_ns"], done, got["native"]["request_times_ms"]["queue"], strict=True
    ):
        assert due <= one.sent_ns < one.token_ns[0] < one.ended_ns
        assert 0 <= waited_ms <= (one.token_ns[0] - one.sent_ns) / 1e6
    ends = [one.ended_ns for one in done]
    assert ends == sorted(ends)


def test_batches_of_a_closed_loop_are_accounted_for_as_they_were_formed(
    static, ask, rows, bare
):
    """Three clients of an engine with two places: its pads, its work, who waited."""
    prompts = rows(*LENGTHS)
    got = ask(static, prompts, output_limits=LIMITS, concurrency=3)
    assert [one.output_ids for one in got["completions"]] == firsts(bare, prompts)
    got = ask(static, prompts, batch_size=2, concurrency=3)
    done = got["completions"]
    assert [one.output_ids for one in done] == [bare(row, 12) for row in prompts]
    assert got["batches"] == [2, 2, 1]
    assert got["padding_tokens"] == 8 + 13
    assert [(one.rows, one.new) for one in got["work"]] == [(2, 11), (2, 20), (1, 5)]
    assert (got["native"]["at_once"], got["due_ns"]) == (2, [])
    assert [one.sent_ns < done[0].ended_ns for one in done] == [True] * 3 + [False] * 2
    waited_ms = got["native"]["request_times_ms"]["queue"]
    assert waited_ms[2] > max(waited_ms[:2])


@pytest.mark.parametrize(
    "load_asked", [{"concurrency": 2}, {"due_ns": (0, 1, 100 * MS, 150 * MS)}]
)
def test_continuous_batching_takes_requests_as_they_are_sent(
    continuous, ask, rows, bare, load_asked
):
    """Each has its own times, and a place as soon as one is free."""
    prompts = rows(*LENGTHS[:4])
    got = ask(continuous, prompts, **load_asked)
    done = got["completions"]
    assert [one.output_ids for one in done] == [bare(row, 12) for row in prompts]
    assert (got["batches"], got["native"]["at_once"]) == ([4], 2)
    assert len(got["due_ns"]) == len(load_asked.get("due_ns", ()))
    assert all(
        due <= one.sent_ns for due, one in zip(got["due_ns"], done, strict=False)
    )
    assert done[2].sent_ns >= min(one.ended_ns for one in done[:2]) or got["due_ns"]
    assert all(wait >= 0 for wait in got["native"]["request_times_ms"]["queue"])
    got = ask(continuous, prompts, output_limits=LIMITS[:4], **load_asked)
    short = [one.output_tokens for one in got["completions"]]
    assert short == list(LIMITS[:4])


def test_a_request_that_continuous_batching_fails_has_failed_alone(
    continuous, ask, rows, bare, monkeypatch
):
    """By the library's own line; the others have all their tokens."""
    scheduler = pytest.importorskip(
        "transformers.generation.continuous_batching.scheduler"
    )
    take = scheduler.Scheduler.add_waiting_request

    def refuse(self, state):
        if len(state.initial_tokens) == 11:
            raise ValueError("no room for it")
        take(self, state)

    monkeypatch.setattr(scheduler.Scheduler, "add_waiting_request", refuse)
    prompts = rows(*LENGTHS[:3])
    got = ask(continuous, prompts)
    first, failed, last = got["completions"]
    assert [first.output_ids, last.output_ids] == [
        bare(prompts[0], 12),
        bare(prompts[2], 12),
    ]
    assert (failed.outcome, failed.error) == ("engine_error", "no room for it")
    assert failed.output_ids == []
    assert got["native"]["request_times_ms"]["queue"][1] is None
