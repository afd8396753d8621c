"""Other tools' words for the same stamps, each by that tool's own formula."""

from functools import reduce

import pytest

from pytest_lem.analysis.peers import Run, aiperf, guidellm, mlperf, vllm_bench
from pytest_lem.analysis.requests import Request

PEERS = {
    "vllm": vllm_bench,
    "aiperf": aiperf,
    "guidellm": guidellm,
    "mlperf": mlperf,
}
STATUSES = ("successful", "errored", "incomplete")
LIMITS = {"ttft_ms": 15.0, "tpot_ms": 3.0}


def request(due, sent, tokens, ended, tokens_in=10, **changes):
    """A request by its times in milliseconds on a clock that does not start at 0."""
    at = [int(1e6 * one) + 10**12 for one in (due, sent, ended)]
    stamps = [int(1e6 * one) + 10**12 for one in tokens]
    told = {
        "input_tokens": tokens_in,
        "output_tokens": len(tokens),
        "due_ns": at[0],
        "sent_ns": at[1],
        "ended_ns": at[2],
        "token_ns": stamps,
    }
    return Request(**{**told, **changes})


# The first's second and third tokens came in one event, and its end one ms after them.
FIRST = request(0, 2, [12, 14, 14, 20], 21)
RUN = Run(requests=[FIRST, request(10, 10, [40], 40, 30)], limits=LIMITS)
MANY = Run(requests=[FIRST, request(10, 10, [40, 42], 42, 30)], limits=LIMITS)


def found(peer, run, path):
    """A value of what a tool tells, by its path."""
    result, _ = PEERS[peer].told(run)
    return reduce(lambda part, key: part[key], path.split("/"), result)


@pytest.mark.parametrize(
    ("peer", "path", "value"),
    [
        ("vllm", "mean_ttft_ms", 20),
        ("vllm", "mean_tpot_ms", 8 / 3),
        ("vllm", "mean_itl_ms", 4),
        ("vllm", "mean_e2el_ms", 24),
        ("vllm", "p99_itl_ms", 5.96),
        ("vllm", "duration", 0.038),
        ("vllm", "output_throughput", 5 / 0.038),
        ("vllm", "max_output_tokens_per_s", 4),
        ("vllm", "max_concurrent_requests", 2),
        ("vllm", "request_goodput", 1 / 0.038),
        ("aiperf", "time_to_first_token/avg", 20),
        ("aiperf", "inter_token_latency/avg", 8 / 3),
        ("aiperf", "inter_chunk_latency/avg", 4),
        ("aiperf", "request_latency/avg", 24),
        ("aiperf", "request_latency/std", 6),
        ("aiperf", "time_to_second_token/count", 1),
        ("aiperf", "output_token_throughput/avg", 5 / 0.038),
        ("aiperf", "good_request_fraction/avg", 0.5),
        ("guidellm", "metrics/time_per_output_token_ms/total/mean", 9.6),
        ("guidellm", "metrics/inter_token_latency_ms/total/mean", 8 / 3),
        ("guidellm", "metrics/request_latency/total/mean", 0.0245),
        ("guidellm", "metrics/request_latency/total/percentiles/p50", 0.019),
        ("guidellm", "metrics/request_scheduled_latency/total/max", 0.030),
        ("guidellm", "metrics/slo_attainment", 1),
        ("mlperf", "result_mean_latency_ns", 25_500_000),
        ("mlperf", "result_50.00_percentile_latency_ns", 30_000_000),
        ("mlperf", "result_completed_samples_per_sec", 1 / 0.040),
    ],
)
def test_a_figure_is_by_the_formula_of_its_tool(peer, path, value):
    """Where tools share a word and mean different things too."""
    assert found(peer, RUN, path) == pytest.approx(value)


def test_loadgen_counts_from_when_requests_were_due():
    """Tokens' times too; each further token's share is cut to whole nanoseconds."""
    assert found("mlperf", MANY, "scenario") == "Server"
    assert found("mlperf", MANY, "result_first_token_min_latency_ns") == 12_000_000
    assert found("mlperf", MANY, "result_time_to_output_token_max") == 3_000_000


def test_loadgen_s_scenario_is_read_from_when_requests_were_sent():
    """One at a time, or all of one query, which is sent when the first of them is."""
    alone = [request(0, at, [at + 5, at + 7], at + 8, due_ns=None) for at in (0, 10)]
    assert found("mlperf", Run(requests=alone, limits={}), "scenario") == "SingleStream"
    both = [request(0, at, [at + 5, at + 7], at + 8, due_ns=None) for at in (0, 2)]
    run = Run(requests=both, limits={})
    assert found("mlperf", run, "scenario") == "Offline"
    assert found("mlperf", run, "result_samples_per_second") == pytest.approx(200)


@pytest.mark.parametrize("peer", PEERS)
def test_what_is_null_has_a_reason_and_nothing_else_has(peer):
    """Tokens without times, tokens that are too few, and limits a tool has not."""
    untimed = request(0, 0, [], 9, output_tokens=4, due_ns=None)
    for run in (
        RUN,
        Run(requests=[untimed], limits={}),
        Run(requests=[FIRST], limits={"itl_p95_ms": 1.0}),
        Run(requests=[FIRST, request(0, 3, [], 9)], limits={"e2e_ms": 15}),
        Run(requests=[request(0, 3, [5], 9, outcome="timeout")], limits={}),
    ):
        result, nulls = PEERS[peer].told(run)
        missing = {path for path, value in leaves(result) if value is None}
        assert missing == {*nulls}


def leaves(part, before=""):
    """Paths and values; statuses of requests that there were none of are left out."""
    for key, value in part.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{before}{key}.")
        elif key not in STATUSES:
            yield f"{before}{key}", value


def test_requests_that_failed_are_told_as_such():
    """They are in no latency, and guidellm tells theirs apart."""
    late = request(10, 10, [500], 900, outcome="timeout")
    run = Run(requests=[FIRST, late], limits={"e2e_ms": 15})
    assert found("vllm", run, "failed") == 1
    assert found("vllm", run, "mean_ttft_ms") == pytest.approx(10)
    assert found("aiperf", run, "error_request_count/avg") == 1
    assert found("aiperf", run, "request_latency/count") == 1
    latency = found("guidellm", run, "metrics/request_latency")
    assert [latency[k]["count"] for k in ("successful", "errored", "total")] == [
        1,
        1,
        2,
    ]
    assert found("guidellm", run, "metrics/slo_attainment") == 0
    assert found("mlperf", run, "result_query_count") == 1


def test_a_limit_that_a_tool_has_not_is_named():
    """Instead of a goodput by the other limits alone."""
    run = Run(requests=[FIRST], limits={"itl_p95_ms": 1.0, "ttft_ms": 9.0})
    _, nulls = vllm_bench.told(run)
    assert nulls["request_goodput"] == "no_such_limit_there: itl_p95_ms"
