"""AIPerf: the metrics of its JSON export."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pytest_lem.analysis.peers import NO_STAMPS, Run, Told, first_ns, gaps_ns, last_ns
from pytest_lem.analysis.requests import Request

VERSION = "aiperf 0.13.0"
SCHEMA_VERSION = "1.4"
PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)

_PER_USER = "tokens/sec/user"
_LIMITS = {"ttft_ms", "tpot_ms", "e2e_ms"}
_NO_REASONING = "reasoning_tokens_are_not_told_apart"


def told(run: Run) -> Told:
    """Its metrics of a run, each with its unit; without tokens a request is an error.

    Duration is from the first request sent to the last token.
    """
    done = run.answered
    result: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    for name, (unit, values) in _of_requests(done, stamped=run.stamped).items():
        result[name] = _distribution(unit, values) if values else None
    result |= {k: v and {"unit": v[0], "avg": v[1]} for k, v in _of_run(run, done)}
    nulls = dict.fromkeys(
        [key for key, value in result.items() if value is None],
        "no_request_has_it" if run.stamped else NO_STAMPS,
    )
    good, why = _good(run, done)
    for name in ("good_request_count", "goodput", "good_request_fraction"):
        result[name], nulls[name] = None, why
    if good is not None:
        shares = {
            "good_request_count": ("requests", good),
            "goodput": ("requests/sec", good / _duration_s(done)),
            "good_request_fraction": ("ratio", good / len(run.requests)),
        }
        result |= {k: {"unit": u, "avg": float(v)} for k, (u, v) in shares.items()}
        nulls = {name: why for name, why in nulls.items() if name not in shares}
    for name in ("time_to_first_output_token", "reasoning_token_count"):
        result[name], nulls[name] = None, _NO_REASONING
    return result, nulls


Sample = tuple[str, list[float] | None]


def _of_requests(done: Sequence[Request], *, stamped: bool) -> dict[str, Sample]:
    """Unit and values of each metric that a request, or a gap, has one of."""
    many = [one for one in done if one.output_tokens > 1]
    timed: dict[str, tuple[str, Callable[[], list[float]]]] = {
        "time_to_first_token": ("ms", lambda: [first_ns(x) / 1e6 for x in done]),
        "time_to_second_token": (
            "ms",
            lambda: [gaps_ns(x)[0] / 1e6 for x in done if gaps_ns(x)],
        ),
        "inter_token_latency": ("ms", lambda: [_itl_ns(x) / 1e6 for x in many]),
        "inter_chunk_latency": (
            "ms",
            lambda: [gap / 1e6 for x in done for gap in gaps_ns(x)],
        ),
        "decode_duration": ("ms", lambda: [_decode_ns(x) / 1e6 for x in done]),
        "output_token_throughput_per_user": (
            _PER_USER,
            lambda: [1e9 / _itl_ns(x) for x in many if _itl_ns(x)],
        ),
        "prefill_throughput_per_user": (
            _PER_USER,
            lambda: [1e9 * x.input_tokens / first_ns(x) for x in done if first_ns(x)],
        ),
    }
    return {
        "request_latency": ("ms", [last_ns(x) / 1e6 for x in done]),
        **{k: (unit, make() if stamped else None) for k, (unit, make) in timed.items()},
        "e2e_output_token_throughput": (
            _PER_USER,
            [1e9 * x.output_tokens / last_ns(x) for x in done if last_ns(x)],
        ),
        "input_sequence_length": ("tokens", [float(x.input_tokens) for x in done]),
        "output_sequence_length": ("tokens", [float(x.output_tokens) for x in done]),
    }


def _of_run(
    run: Run, done: Sequence[Request]
) -> list[tuple[str, tuple[str, float] | None]]:
    """Unit and value of each metric of the whole run; null without a duration."""
    tokens_in = sum(one.input_tokens for one in done)
    tokens_out = sum(one.output_tokens for one in done)
    counts = {
        "request_count": ("requests", float(len(done))),
        "error_request_count": ("requests", float(len(run.requests) - len(done))),
        "total_isl": ("tokens", float(tokens_in)),
        "total_osl": ("tokens", float(tokens_out)),
    }
    duration_s = _duration_s(done)
    rates = {
        "request_throughput": ("requests/sec", len(done)),
        "output_token_throughput": ("tokens/sec", tokens_out),
        "input_token_throughput": ("tokens/sec", tokens_in),
        "total_token_throughput": ("tokens/sec", tokens_in + tokens_out),
    }
    return [
        *counts.items(),
        ("benchmark_duration", ("sec", duration_s) if duration_s else None),
        *(
            (name, (unit, value / duration_s) if duration_s else None)
            for name, (unit, value) in rates.items()
        ),
    ]


def _duration_s(done: Sequence[Request]) -> float:
    if not done:
        return 0.0
    last = max(one.sent_ns + last_ns(one) for one in done)
    return (last - min(one.sent_ns for one in done)) / 1e9


def _decode_ns(request: Request) -> int:
    return last_ns(request) - first_ns(request)


def _itl_ns(request: Request) -> float:
    """Of a request with two tokens or more: what others call TPOT."""
    return _decode_ns(request) / (request.output_tokens - 1)


def _good(run: Run, done: Sequence[Request]) -> tuple[int | None, str]:
    """Requests that met all limits, or None and why; one without the metric is bad."""
    why = run.no_verdict(_LIMITS)
    if why is not None:
        return None, why
    return sum(_meets(one, run) for one in done), ""


def _meets(request: Request, run: Run) -> bool:
    values_ns: dict[str, Callable[[], float]] = {
        "ttft_ms": lambda: first_ns(request),
        "tpot_ms": lambda: _itl_ns(request),
        "e2e_ms": lambda: last_ns(request),
    }
    if "tpot_ms" in run.limits and request.output_tokens < 2:
        return False
    return all(values_ns[name]() <= most * 1e6 for name, most in run.limits.items())


def _distribution(unit: str, values: Sequence[float]) -> dict[str, Any]:
    sample = np.asarray(values, dtype=float)
    percentiles = np.percentile(sample, PERCENTILES)
    return {
        "unit": unit,
        "avg": float(sample.mean()),
        **{f"p{p}": float(q) for p, q in zip(PERCENTILES, percentiles, strict=True)},
        "min": float(sample.min()),
        "max": float(sample.max()),
        "std": float(sample.std()),
        "count": len(sample),
        "sum": float(sample.sum()),
    }
