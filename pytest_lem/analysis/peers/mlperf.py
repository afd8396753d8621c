"""MLPerf Inference's LoadGen with token latencies: the results of its detail log."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

from pytest_lem.analysis.peers import NO_STAMPS, Run, Told
from pytest_lem.analysis.requests import Request

VERSION = "mlcommons-loadgen 6.0.17"
PERCENTILES = (0.5, 0.9, 0.95, 0.97, 0.99, 0.999)

Scenario = Literal["Server", "SingleStream", "Offline"]

_OF_SUBMISSIONS = (
    "result_validity",
    "result_min_duration_met",
    "result_min_queries_met",
    "early_stopping_met",
)
_OF_SERVERS = ("result_perf_constraints_met", "result_overlatency_query_count")


def told(run: Run) -> Told:
    """Its results; latencies are whole nanoseconds from when a request was scheduled.

    That is when it was due (Server), when it was sent (SingleStream: one at a time), or
    when the first of all was sent (Offline). Requests that failed are left out, of
    which there may be none in a run of LoadGen.
    """
    run = replace(run, requests=[one for one in run.requests if not one.failed])
    if not run.requests:
        return {"scenario": None}, {"scenario": "no_request_completed"}
    scenario = _scenario(run.requests)
    from_ns = [_scheduled_ns(one, run, scenario) for one in run.requests]
    pairs = list(zip(run.requests, from_ns, strict=True))
    latency_ns = [one.ended_ns - start for one, start in pairs]
    result: dict[str, Any] = {"scenario": scenario}
    judged = _OF_SUBMISSIONS + (_OF_SERVERS if scenario == "Server" else ())
    nulls = dict.fromkeys(judged, "limits_are_a_submission_s")
    result |= dict.fromkeys(judged)
    result |= {
        "result_query_count": 1 if scenario == "Offline" else len(run.requests),
        **_rates(run, scenario, from_ns, latency_ns),
        **_distribution("result", "latency_ns", latency_ns),
    }
    nulls = {k: "only_one_request" for k in result if result[k] is None} | nulls
    if scenario == "Offline":
        return result, nulls
    tokens, why = _token_latencies(pairs, latency_ns, stamped=run.stamped)
    nulls |= {key: why for key, value in tokens.items() if value is None}
    return result | tokens, nulls


def _scenario(requests: Sequence[Request]) -> Scenario:
    if all(one.due_ns is not None for one in requests):
        return "Server"
    alone = all(one.ended_ns <= later.sent_ns for one, later in pairwise(requests))
    return "SingleStream" if alone else "Offline"


def _scheduled_ns(request: Request, run: Run, scenario: Scenario) -> int:
    if scenario == "Server" and request.due_ns is not None:
        return request.due_ns
    return run.start_ns if scenario == "Offline" else request.sent_ns


def _rates(
    run: Run, scenario: Scenario, from_ns: Sequence[int], latency_ns: Sequence[int]
) -> dict[str, Any]:
    """Rates of samples and tokens; `final` is the request that was sent last."""
    count, start_ns = len(run.requests), min(from_ns)
    tokens = sum(one.output_tokens for one in run.requests)
    if scenario == "Offline":
        longest_s = max(latency_ns) / 1e9
        return {
            "result_samples_per_second": count / longest_s,
            "result_tokens_per_second": tokens / longest_s,
        }
    final = run.requests[-1]
    issued_s = (final.sent_ns - start_ns) / 1e9
    done_s = (final.ended_ns - start_ns) / 1e9
    mean_ns = sum(latency_ns) // count
    rates = {
        "result_token_throughput_with_loadgen_overhead": _over(tokens, issued_s),
        # As it is there: tokens per nanosecond of all latencies together.
        "result_token_throughput": _over(tokens, mean_ns * count),
        "result_completed_tokens_per_second": _over(tokens, done_s),
    }
    if scenario == "Server":
        due_s = (from_ns[-1] - start_ns) / 1e9
        return {
            "result_scheduled_samples_per_sec": _over(count - 1, due_s),
            "result_completed_samples_per_sec": _over(count - 1, done_s),
            **rates,
        }
    return {
        "result_qps_with_loadgen_overhead": _over(count - 1, issued_s),
        "result_qps_without_loadgen_overhead": _over(1e9, mean_ns),
        **rates,
    }


def _token_latencies(
    pairs: Sequence[tuple[Request, int]], latency_ns: Sequence[int], *, stamped: bool
) -> tuple[dict[str, Any], str]:
    """First token and time per further token of all samples, or null and why.

    A sample of fewer than two tokens is an error there.
    """
    why = NO_STAMPS if not stamped else "a_sample_has_fewer_than_two_tokens"
    first_ns = each_ns = None
    if stamped and all(len(one.token_ns) > 1 for one, _ in pairs):
        first_ns = [int(one.token_ns[0]) - start for one, start in pairs]
        each_ns = [
            (latency - first) // (one.output_tokens - 1)
            for (one, _), latency, first in zip(
                pairs, latency_ns, first_ns, strict=True
            )
        ]
    spread = _distribution("result_time_per_output_token", "ns", each_ns)
    for name in ("min", "max", "mean"):
        value = spread.pop(f"result_time_per_output_token_{name}_ns")
        spread[f"result_time_to_output_token_{name}"] = value
    first = _distribution("result_first_token", "latency_ns", first_ns)
    return {**first, **spread}, why


def _distribution(
    before: str, after: str, values: Sequence[int] | None
) -> dict[str, int | None]:
    """The sample at place n x p of those in order: no interpolation."""
    names = ["min", "max", "mean"]
    names += [f"{100 * one:.2f}_percentile" for one in PERCENTILES]
    if values is None:
        return {f"{before}_{name}_{after}": None for name in names}
    ordered, count = sorted(values), len(values)
    figures = [ordered[0], ordered[-1], sum(ordered) // count]
    figures += [ordered[int(count * one)] for one in PERCENTILES]
    pairs = zip(names, figures, strict=True)
    return {f"{before}_{name}_{after}": figure for name, figure in pairs}


def _over(value: float, by: float) -> float | None:
    return value / by if by else None
