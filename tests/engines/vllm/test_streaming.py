"""The real vLLM with a stamp for each token: step by step, and through AsyncLLM."""

from itertools import pairwise

import pytest

pytest.importorskip("vllm")

from pytest_lem.errors import ConfigError


def tokens(got):
    return [one.output_ids for one in got["completions"]]


def stamped_in_order(one):
    """As many stamps as tokens, between the request's ends, none before another."""
    times = [one.sent_ns, *one.token_ns, one.ended_ns]
    return len(one.token_ns) == one.output_tokens and times == sorted(times)


def most_in_flight(got):
    """The most requests that were sent and had not ended."""
    done = got["completions"]
    return max(
        sum(one.sent_ns <= at.sent_ns < one.ended_ns for one in done) for at in done
    )


@pytest.fixture(scope="module")
def served(start):
    """AsyncLLM with its core in another process; the last engine of this module."""
    return start(max_num_seqs=2, in_process=False, streams=True)


def test_each_token_has_a_stamp(engine, ask, rows, bare):
    """Step by step where the core is in this process; one request at a time."""
    prompts = rows(7, 40, 5)
    got = ask(engine, prompts, count=9, batch_size=1, stamps=True)
    assert tokens(got) == [bare(row, 9) for row in prompts]
    assert all(map(stamped_in_order, got["completions"]))
    assert got["batches"] == [1, 1, 1]
    assert got["native"]["path"] == "LLMEngine.step"
    assert "itl_per_chunk" not in got["native"]["flags"]
    done = got["completions"]
    assert all(one.ended_ns <= two.sent_ns for one, two in pairwise(done))


def test_requests_together_have_their_own_times(engine, ask, rows):
    """The one for which there is no room waits, and vLLM tells for how long."""
    got = ask(engine, rows(9, 9, 9, 9, 9), count=6, batch_size=5, stamps=True)
    done = got["completions"]
    assert all(map(stamped_in_order, done))
    assert got["batches"] == [5]
    assert done[4].token_ns[0] >= done[0].ended_ns
    times = got["native"]["request_times_ms"]
    assert times["queue"][4] > max(times["queue"][:4])
    assert all(one > 0 for kind in ("prefill", "decode") for one in times[kind])


@pytest.mark.parametrize("stamps", [True, False])
def test_a_request_is_sent_when_another_one_has_ended(engine, ask, rows, bare, stamps):
    """As many as are asked for are in flight, and vLLM says how many it runs."""
    prompts = rows(5, 6, 7, 8, 9)
    got = ask(engine, prompts, count=4, stamps=stamps, concurrency=2)
    assert tokens(got) == [bare(row, 4) for row in prompts]
    assert most_in_flight(got) == 2
    assert (got["due_ns"], got["batches"]) == ([], [5])
    assert (got["work"], got["native"]["path"]) == (None, "LLMEngine.step")
    assert got["native"]["at_once"] >= 2


@pytest.mark.parametrize("stamps", [True, False])
def test_requests_are_sent_when_they_are_due(engine, ask, rows, bare, stamps):
    """Each has times of its own, and the same tokens as ever."""
    due_ns, prompts = (0, 100_000_000, 250_000_000), rows(5, 6, 7)
    got = ask(engine, prompts, count=4, stamps=stamps, due_ns=due_ns)
    assert tokens(got) == [bare(row, 4) for row in prompts]
    assert [at - got["due_ns"][0] for at in got["due_ns"]] == pytest.approx(
        due_ns, abs=2
    )
    for due, one in zip(got["due_ns"], got["completions"], strict=True):
        assert due <= one.sent_ns < one.ended_ns
        assert len(one.token_ns) == (4 if stamps else 0)
    assert got["batches"] == [3]


def ended(engine, ask, rows, bare, **options):
    """One of two requests is over its limit and is ended; the next pass is whole."""
    prompts, lengths = rows(5, 6), (4, 3000)
    asked = {"request_timeout_s": 0.5, "batch_size": 2, **options}
    got = ask(engine, prompts, count=3000, output_limits=lengths, **asked)
    whole, late = got["completions"]
    assert (whole.outcome, whole.output_ids) == ("completed", bare(prompts[0], 4))
    assert late.outcome == "timeout"
    assert late.error == "ended at request_timeout_s=0.5"
    assert 0 < late.output_tokens < 3000
    assert late.output_ids == bare(prompts[1], late.output_tokens)
    assert late.ended_ns - late.sent_ns >= 500_000_000
    assert len(late.token_ns) == (late.output_tokens if asked.get("stamps") else 0)
    first, none = got["native"]["request_times_ms"]["decode"]
    assert first > 0
    assert none is None
    assert got["work"] is None
    assert tokens(ask(engine, prompts, count=4, **options)) == [
        bare(row, 4) for row in prompts
    ]


@pytest.mark.parametrize("stamps", [True, False])
def test_a_request_over_its_limit_is_ended(engine, ask, rows, bare, stamps):
    """With the tokens that had come, step by step; others go on."""
    ended(engine, ask, rows, bare, stamps=stamps)


def test_an_output_kind_without_an_event_for_each_token_is_refused(start, ask, rows):
    """In one line, before the pass; tokens that come several at a time are flagged."""
    engine, _ = start(stream_interval=3)
    got = ask(engine, rows(5), count=7, stamps=True)
    assert stamped_in_order(got["completions"][0])
    assert "itl_per_chunk" in got["native"]["flags"]
    engine._section = {"output_kind": "FINAL_ONLY"}
    with pytest.raises(ConfigError, match="output_kind='FINAL_ONLY' has no event"):
        ask(engine, rows(5), stamps=True)


def test_published_latency_comes_from_the_asynchronous_engine(served, ask, rows, bare):
    """Each token is an event of its own, alone and together; batches run there too."""
    engine, loaded = served
    for stamps in (True, False):
        ended(engine, ask, rows, bare, stamps=stamps)
    assert loaded.effective["entry_point"] == "AsyncLLM"
    assert loaded.effective["max_num_seqs"] == 2
    assert loaded.effective["max_num_batched_tokens"] == 8192
    prompts = rows(7, 30, 12)
    wanted = [bare(row, 8) for row in prompts]
    for size, sizes in ((1, [1, 1, 1]), (3, [3])):
        got = ask(engine, prompts, count=8, batch_size=size, stamps=True)
        assert tokens(got) == wanted
        assert all(map(stamped_in_order, got["completions"]))
        assert (got["batches"], got["native"]["path"]) == (sizes, "AsyncLLM.generate")
        assert got["native"]["scheduler"]["generation_tokens"] == 24
    assert min(got["native"]["request_times_ms"]["prefill"]) > 0
    got = ask(engine, prompts, count=8, batch_size=3)
    assert tokens(got) == wanted
    assert all(not one.token_ns for one in got["completions"])
    assert engine.detokenize(engine.tokenize(["hello there"])) == ["hello there"]
    limits = (2, 8, 5)
    short = [ids[:limit] for ids, limit in zip(wanted, limits, strict=True)]
    for size, stamps in ((1, True), (3, True), (3, False)):
        asked = {"batch_size": size, "stamps": stamps, "output_limits": limits}
        got = ask(engine, prompts, count=8, **asked)
        assert tokens(got) == short
        stamped = [len(one.token_ns) for one in got["completions"]]
        assert stamped == [stamps * limit for limit in limits]
    for stamps in (True, False):
        got = ask(engine, prompts, count=8, stamps=stamps, due_ns=(0, 0, 300_000_000))
        assert tokens(got) == wanted
        due, done = got["due_ns"], got["completions"]
        assert all(at <= one.sent_ns for at, one in zip(due, done, strict=True))
        assert done[2].sent_ns - done[0].sent_ns > 200_000_000
    got = ask(engine, prompts, count=8, concurrency=2, stamps=True)
    assert tokens(got) == wanted
    assert most_in_flight(got) == 2
    assert got["completions"][2].sent_ns >= min(
        one.ended_ns for one in got["completions"][:2]
    )


def test_likelihoods_come_through_the_asynchronous_engine_too(served, rows, directly):
    """As the library alone tells them."""
    engine, _ = served
    prompts = rows(9, 40, 5)
    for row, logs in zip(prompts, engine.log_probabilities(prompts), strict=True):
        assert logs == pytest.approx(directly(row), abs=1e-4)
