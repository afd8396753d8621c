"""The scripted engine: exact times, exact counts, failures on demand."""

import inspect
import itertools
import time

import pytest

from pytest_lem.engines import Engine, GenerateOptions, Generation
from pytest_lem.engines.fake import FakeEngine
from pytest_lem.errors import ConfigError, GenerationError, OutOfMemory

MS = 1_000_000


def loaded(**script):
    engine = FakeEngine()
    engine.load({"engine": script})
    return engine


def one_pass(engine, prompts, **options):
    """A pass as the worker makes it."""
    asked = GenerateOptions(**{"output_tokens": 4, **options})
    batches = engine.prepare(prompts, asked)
    engine.synchronize()
    outcomes, spans = [], []
    for batch in batches:
        sent_ns = time.monotonic_ns()
        outcomes.append(engine.run(batch, asked))
        spans.append((sent_ns, time.monotonic_ns()))
    engine.synchronize()
    return Generation(**engine.collect(batches, outcomes, spans, asked))


def test_it_is_an_engine():
    """It has every method of the protocol, with the same parameters."""
    wanted = inspect.getmembers(Engine, inspect.isfunction)
    methods = {name: call for name, call in wanted if not name.startswith("_")}
    assert "generate" not in methods
    assert len(methods) == 10
    for name, call in methods.items():
        own = inspect.signature(getattr(FakeEngine, name))
        assert list(own.parameters) == list(inspect.signature(call).parameters)


def test_a_pass_takes_exactly_what_the_script_says():
    """Three batches last three times prefill and decode, to the nanosecond."""
    before = time.monotonic_ns()
    got = one_pass(loaded(prefill_s=0.02, token_s=0.005), [[1]] * 3)
    assert got.end_ns - got.start_ns == 3 * (20 + 3 * 5) * MS
    assert before <= got.start_ns
    assert got.end_ns <= time.monotonic_ns()
    spans = [(one.sent_ns, one.ended_ns) for one in got.completions]
    assert [end - start for start, end in spans] == [35 * MS] * 3
    assert spans[0][1] == spans[1][0]


def test_a_batch_lasts_as_long_as_its_longest_request():
    """Rows that are done are filled up; without a batch each ends by itself."""
    engine = loaded(prefill_s=0.02, token_s=0.005)
    asked = {"batch_size": 2, "output_limits": (1, 4, 2)}
    got = one_pass(engine, [[1], [2, 3], [4]], **asked)
    done = got.completions
    assert [one.output_tokens for one in done] == [1, 4, 2]
    assert [one.ended_ns - one.sent_ns for one in done] == [35 * MS] * 2 + [25 * MS]
    assert got.padding_tokens == 1 + 3
    got = one_pass(engine, [[1], [2, 3], [4]], **asked, due_ns=(0, 0, 0))
    first, second, _ = got.completions
    assert second.ended_ns - second.sent_ns > first.ended_ns - first.sent_ns


def test_tokens_are_stamped_where_asked_for():
    """The first token comes after the prefill, each further one a step later."""
    engine = loaded(prefill_s=0.01, token_s=0.002)
    assert one_pass(engine, [[1]]).completions[0].token_ns == []
    done = one_pass(engine, [[1]], stamps=True).completions[0]
    assert [t - done.sent_ns for t in done.token_ns] == [
        m * MS for m in (10, 12, 14, 16)
    ]
    assert done.token_ns[-1] == done.ended_ns


def test_the_first_runs_follow_the_latency_script():
    """A warm-up's durations are given run by run; then prefill and decode rule."""
    engine = loaded(prefill_s=0.004, token_s=0.002, latency_script_s=[0.05, 0.02])
    passes = [one_pass(engine, [[1]], stamps=True) for _ in range(3)]
    assert [got.end_ns - got.start_ns for got in passes] == [50 * MS, 20 * MS, 10 * MS]
    first = passes[0].completions[0]
    steps = [t - first.sent_ns for t in first.token_ns]
    assert steps == [m * MS for m in (20, 30, 40, 50)]


def test_jitter_takes_turns():
    """Each run adds the next entry of the list, over and over."""
    engine = loaded(prefill_s=0.01, token_s=0.0, jitter_s=[0, 0.005])
    passes = [one_pass(engine, [[1]]) for _ in range(4)]
    took = [got.end_ns - got.start_ns for got in passes]
    assert took == [10 * MS, 15 * MS, 10 * MS, 15 * MS]


def test_an_empty_script_takes_the_default_times():
    """Without a script a run still takes time, so that rates exist."""
    got = one_pass(loaded(), [[1], [2]], output_tokens=3, batch_size=2)
    assert got.end_ns - got.start_ns == 12 * MS


def test_a_script_of_zeros_takes_no_time():
    """With durations of zero every instant is the start."""
    engine = loaded(prefill_s=0.0, token_s=0.0)
    got = one_pass(engine, [[1], [2]], stamps=True)
    assert got.start_ns == got.end_ns == got.completions[1].token_ns[-1]


def test_counts_are_exact_and_padding_is_counted():
    """Batches are filled in order; each is padded to its longest prompt."""
    prompts = [[1] * n for n in (3, 5, 2, 2, 7)]
    got = one_pass(loaded(), prompts, batch_size=2, output_tokens=6)
    assert got.batches == [2, 2, 1]
    assert got.padding_tokens == 2
    assert [one.input_tokens for one in got.completions] == [3, 5, 2, 2, 7]
    assert {one.output_tokens for one in got.completions} == {6}
    assert {one.finish_reason for one in got.completions} == {"length"}


def test_the_output_follows_prompt_and_seed():
    """The same prompt and seed give the same ids; another of either, others."""

    def ids(prompt, seed):
        return one_pass(loaded(), [prompt], seed=seed).completions[0].output_ids

    assert ids([1, 2], 3) == ids([1, 2], 3)
    assert ids([1, 2], 3) != ids([1, 2], 4)
    assert ids([1, 2], 3) != ids([2, 1], 3)


def test_a_load_takes_its_time_and_reports_its_script():
    """What was asked is read back; what is not known is None."""
    engine = FakeEngine()
    start = time.monotonic()
    got = engine.load({"model": "m", "engine": {"load_s": 0.05, "token_s": 0.1}})
    assert time.monotonic() - start >= 0.05
    assert got.duration_s == 0.05
    assert got.effective["token_s"] == 0.1
    assert got.memory == {"model_mb": None, "load_peak_mb": None}


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ({"tokens_s": 1}, "no option 'tokens_s'; it has load_s, prefill_s"),
        ({"fail_at": "laod"}, "fail_at is 'laod'"),
        ({"hang_at": "run"}, "hang_at is 'run'"),
    ],
)
def test_a_mistake_in_the_script_is_told(script, told):
    """A misspelt option or step is a ConfigError."""
    with pytest.raises(ConfigError, match=told):
        loaded(**script)


def test_a_failure_strikes_after_the_good_passes():
    """`good_passes` passes go well, the next fails with the kind asked for."""
    engine = loaded(fail_at="generate", good_passes=2)
    for _ in range(2):
        one_pass(engine, [[1], [2]])
    with pytest.raises(GenerationError, match="the script fails at generate"):
        one_pass(engine, [[1]])


def test_a_load_can_fail_by_kind():
    """Any kind of failure can be scripted."""
    with pytest.raises(OutOfMemory):
        loaded(fail_at="load", fail_kind="out_of_memory")


def test_text_and_tokens_are_bytes():
    """Tokenising is exact and reversible."""
    engine = FakeEngine()
    assert engine.detokenize(engine.tokenize(["a b", "ü"])) == ["a b", "ü"]


def test_requests_with_times_are_sent_at_them_and_take_what_the_script_says():
    """Each for itself, however late the thread was that sent it."""
    engine = loaded(prefill_s=0.002, token_s=0.001)
    due = [0, 3 * MS, 5 * MS]
    got = one_pass(engine, [[1]] * 3, due_ns=due, batch_size=3, stamps=True)
    assert [at - got.due_ns[0] for at in got.due_ns] == due
    assert got.start_ns == got.due_ns[0]
    for at, one in zip(got.due_ns, got.completions, strict=True):
        assert one.sent_ns >= at
        assert one.ended_ns - one.sent_ns == 5 * MS
        assert one.token_ns[0] - one.sent_ns == 2 * MS
    assert got.batches == [3]


def test_a_request_waits_where_all_places_are_taken():
    """With one place, requests that are due at once follow one another."""
    got = one_pass(loaded(prefill_s=0.004, token_s=0), [[1]] * 3, due_ns=[0, 0, 0])
    ends = [one.ended_ns for one in got.completions]
    assert [b - a for a, b in itertools.pairwise(ends)] == [4 * MS] * 2
    assert got.end_ns == ends[-1] <= time.monotonic_ns()


def test_a_request_is_sent_in_the_instant_in_which_another_one_ends():
    """As many in flight as asked for; with fewer places the others wait in them."""
    engine = loaded(prefill_s=0.004, token_s=0)
    got = one_pass(engine, [[1]] * 5, concurrency=2, batch_size=2)
    sent = [one.sent_ns - got.start_ns for one in got.completions]
    assert sent == [0, 0, 4 * MS, 4 * MS, 8 * MS]
    assert got.end_ns - got.start_ns == 12 * MS
    got = one_pass(engine, [[1]] * 4, concurrency=2)
    took = [one.ended_ns - one.sent_ns for one in got.completions]
    assert took == [4 * MS, 8 * MS, 8 * MS, 8 * MS]
    assert (got.due_ns, got.native["at_once"]) == ([], 1)


def test_a_request_ends_at_the_limit_of_a_request_or_of_a_token():
    """With the tokens that had come; what nothing ends is none of the fake's faults."""
    stall = loaded(prefill_s=0.01, token_s=0.001, faults=["none", "stall"])
    limits = {"request_timeout_s": 0.03, "token_timeout_s": 0.005}
    for stamps, outcome, took_ms in [
        (False, "timeout", 30),
        (True, "token_timeout", 16),
    ]:
        whole, late = one_pass(stall, [[1], [2]], stamps=stamps, **limits).completions
        assert (whole.outcome, whole.output_tokens) == ("completed", 4)
        assert (late.outcome, late.output_tokens) == (outcome, 2)
        assert late.ended_ns - late.sent_ns == took_ms * MS
        assert late.error.startswith("ended at ")
    slow = loaded(prefill_s=0.01, token_s=0.01)
    late = one_pass(slow, [[1]], request_timeout_s=0.025).completions[0]
    assert (late.outcome, late.output_tokens) == ("timeout", 2)
    with pytest.raises(ConfigError, match="faults have 'fall'"):
        loaded(faults=["fall"])
