"""GuideLLM: the metrics of one benchmark of its report."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_lem.analysis.peers import NO_STAMPS, Run, Told, chunks, first_ns, last_ns
from pytest_lem.analysis.requests import Request

VERSION = "guidellm 0.8.1"
PERCENTILES = {
    "p001": 0.001,
    "p01": 0.01,
    "p05": 0.05,
    "p10": 0.1,
    "p25": 0.25,
    "p50": 0.5,
    "p75": 0.75,
    "p90": 0.9,
    "p95": 0.95,
    "p99": 0.99,
    "p999": 0.999,
}

_MERGED_S = 1e-4
_LEAST_S = 1e-6
_LIMITS = {"ttft_ms", "tpot_ms", "e2e_ms"}
_UNKNOWN = {
    "time_to_first_output_token_ms": "reasoning_tokens_are_not_told_apart",
    "request_streaming_iterations_count": "there_are_no_events_of_http",
}

_NONE: dict[str, Any] = {"errored": None, "incomplete": None}

Weighted = Sequence[tuple[float, float]]


def told(run: Run) -> Told:
    """Its metrics of a run: distributions, over those that failed and all others.

    Rates are distributions over time there. A request without tokens has no part in
    those of tokens.
    """
    failed = sum(one.failed for one in run.requests)
    count = len(run.requests)
    totals = {
        "successful": count - failed,
        "errored": failed,
        "incomplete": 0,
        "total": count,
    }
    metrics = {"request_totals": totals, **_of_requests(run), **_over_time(run)}
    nulls = dict.fromkeys([k for k, v in metrics.items() if v is None], NO_STAMPS)
    late = _of_schedule(run)
    nulls |= dict.fromkeys([k for k, v in late.items() if v is None], "no_schedule")
    good, why = _goodput(run)
    nulls |= dict.fromkeys([k for k, v in good.items() if v is None], why)
    metrics |= late | good | dict.fromkeys(_UNKNOWN)
    return {
        "type_": "generative_benchmark",
        "duration": run.duration_s,
        "metrics": metrics,
    }, {f"metrics.{name}": why for name, why in (nulls | _UNKNOWN).items()}


def _of_requests(run: Run) -> dict[str, Any]:
    """Distributions over requests; over those with timed tokens where it takes them."""
    timed = [one for one in run.requests if one.token_ns]
    found = {k: _status(_over(f), run.requests) for k, f in _OF_REQUESTS.items()}
    return found | {k: _status(_over(f), timed) for k, f in _OF_TIMED.items()}


def _over_time(run: Run) -> dict[str, Any]:
    """Distributions over the time from the first request sent to the last one's end."""
    timed = [one for one in run.requests if one.token_ns]
    return {
        "requests_per_second": _status(_rate_of(_ends, run), run.requests),
        "request_concurrency": _status(_in_flight(run), run.requests),
        "prompt_tokens_per_second": _status(_rate_of(_prompts, run), timed),
        "output_tokens_per_second": _status(_rate_of(_outputs, run), timed),
        "tokens_per_second": _status(
            _rate_of(lambda some: _prompts(some) + _outputs(some), run), timed
        ),
    }


def _ends(some: Sequence[Request]) -> list[tuple[float, float]]:
    return [(one.ended_ns / 1e9, 1.0) for one in some]


def _prompts(some: Sequence[Request]) -> list[tuple[float, float]]:
    """A prompt's tokens are there when its first token out is."""
    return [(one.token_ns[0] / 1e9, float(one.input_tokens)) for one in some]


def _outputs(some: Sequence[Request]) -> list[tuple[float, float]]:
    return [event for one in some for event in _evenly(one)]


def _itl_ms(request: Request) -> float | None:
    """Mean gap after the first token; None for a request of a single one."""
    if request.output_tokens < 2:
        return None
    after_ns = last_ns(request) - first_ns(request)
    return after_ns / 1e6 / (request.output_tokens - 1)


def _evenly(request: Request) -> list[tuple[float, float]]:
    """Events with tokens, evenly from the first to the last.

    The first counts one token, the others share what is left.
    """
    events = len(chunks(request))
    first, last = request.token_ns[0], request.token_ns[-1]
    if events < 2:
        return [(last / 1e9, float(request.output_tokens))]
    each = (request.output_tokens - 1) / (events - 1)
    times = np.linspace(first / 1e9, last / 1e9, num=events)[1:]
    return [(first / 1e9, 1.0), *((float(at), each) for at in times)]


def _of_schedule(run: Run) -> dict[str, Any]:
    """Delay and latency in seconds, from when a request was due."""
    if not run.scheduled:
        return {"request_dispatch_delay": None, "request_scheduled_latency": None}
    late = _over(lambda x: ((x.sent_ns - (x.due_ns or 0)) / 1e9, 1))
    whole = _over(lambda x: ((x.ended_ns - (x.due_ns or 0)) / 1e9, 1))
    return {
        "request_dispatch_delay": _status(late, run.requests),
        "request_scheduled_latency": _status(whole, run.requests),
    }


def _goodput(run: Run) -> tuple[dict[str, Any], str]:
    """Share and rate of requests that met all limits; TPOT is held to its ITL.

    A request that failed meets none, one that lacks a value is left out of both.
    """
    none = {
        "slo_attainment": None,
        "slo_determined_requests": 0,
        "request_goodput": None,
    }
    why = run.no_verdict(_LIMITS)
    judged = [] if why else [(one, _meets(one, run)) for one in run.requests]
    known = [(one, good) for one, good in judged if good is not None]
    if not known:
        return none, why or "no_request_has_it"
    good = [one for one, met in known if met]
    rate = _rate_of(_ends, run)(good)
    return {
        "slo_attainment": len(good) / len(known),
        "slo_determined_requests": len(known),
        "request_goodput": {"successful": rate, **_NONE, "total": rate},
    }, ""


def _meets(request: Request, run: Run) -> bool | None:
    if request.failed:
        return False
    values_ms = {
        "ttft_ms": first_ns(request) / 1e6 if request.token_ns else None,
        "tpot_ms": _itl_ms(request) if request.token_ns else None,
        "e2e_ms": (request.ended_ns - request.sent_ns) / 1e6,
    }
    held = [(values_ms[name], most) for name, most in run.limits.items()]
    if any(value is None for value, _ in held):
        return None
    return all(value is not None and value <= most for value, most in held)


def _status(
    summary: Callable[[Sequence[Request]], dict[str, Any]], some: Sequence[Request]
) -> dict[str, Any] | None:
    """A distribution over those that did not fail, those that did, and both.

    None where there is no request at all.
    """
    if not some:
        return None
    kinds = {
        "successful": [one for one in some if not one.failed],
        "errored": [one for one in some if one.failed],
    }
    told = {name: summary(those) if those else None for name, those in kinds.items()}
    return {**_NONE, **told, "total": summary(some)}


def _over(
    value: Callable[[Request], tuple[float, float]],
) -> Callable[[Sequence[Request]], dict[str, Any]]:
    return lambda some: _summary([value(one) for one in some])


def _rate_of(
    events: Callable[[Sequence[Request]], Weighted], run: Run
) -> Callable[[Sequence[Request]], dict[str, Any]]:
    span_s = (run.start_ns / 1e9, run.end_ns / 1e9)
    return lambda some: _rates(events(some), span_s)


def _summary(pairs: Weighted, count: int | None = None) -> dict[str, Any]:
    """A distribution of weighted values: percentiles are values, none is between."""
    told = np.asarray(pairs, dtype=float).reshape(-1, 2)
    count = round(float(told[:, 1].sum())) if count is None else count
    values, places = np.unique(told[:, 0], return_inverse=True)
    weights = np.zeros_like(values)
    np.add.at(weights, places, told[:, 1])
    if weights.sum() <= _LEAST_S:
        weights = np.ones_like(values)
    values, weights = values[weights > 0], weights[weights > 0]
    share = weights / weights.sum()
    mean = float((values * share).sum())
    variance = float(((values - mean) ** 2 * share).sum())
    reached = np.cumsum(share)
    places = np.minimum(
        np.searchsorted(reached, list(PERCENTILES.values())), len(values) - 1
    )
    percentiles = dict(zip(PERCENTILES, values[places].tolist(), strict=True))
    return {
        "mean": mean,
        "median": percentiles["p50"],
        "mode": float(values[share.argmax()]),
        "variance": variance,
        "std_dev": variance**0.5,
        "min": float(values[0]),
        "max": float(values[-1]),
        "count": count,
        "total_sum": mean * count,
        "percentiles": percentiles,
    }


def _rates(events: Weighted, span_s: tuple[float, float]) -> dict[str, Any]:
    """Events in a second, weighted by how long that rate held.

    An event's time is half of that to the one before and half of that to the next.
    """
    start_s, end_s = span_s
    inside = [(at, n) for at, n in events if start_s <= at <= end_s]
    told = _merged([(start_s, 0.0), *inside, (end_s, 0.0)])
    times, counts = told[:, 0], told[:, 1]
    middles = (times[1:] + times[:-1]) / 2
    lasting = np.diff(np.concatenate([times[:1], middles, times[-1:]]))
    lasting[-1] = max(lasting[-1], _LEAST_S)
    pairs = list(zip((counts / lasting).tolist(), lasting.tolist(), strict=True))
    return _summary(pairs, count=round(float(counts.sum())))


def _in_flight(run: Run) -> Callable[[Sequence[Request]], dict[str, Any]]:
    """Requests sent and not yet done, weighted by how long they were so many."""

    def summary(some: Sequence[Request]) -> dict[str, Any]:
        changes = [(run.start_ns / 1e9, 0.0)]
        changes += [(one.sent_ns / 1e9, 1.0) for one in some]
        changes += [(one.ended_ns / 1e9, -1.0) for one in some]
        told = _merged(changes)
        times = np.concatenate([told[:, 0], [run.end_ns / 1e9]])
        levels = np.clip(np.cumsum(told[:, 1]), 0, None)
        lasting = np.clip(np.diff(times), 0, None)
        pairs = list(zip(levels.tolist(), lasting.tolist(), strict=True))
        return _summary(pairs, count=len(some))

    return summary


def _merged(events: Weighted) -> NDArray[np.float64]:
    """In order; those within 0.1 ms of the first of them are one event."""
    merged: list[list[float]] = []
    for at, count in sorted(events):
        if merged and at - merged[-1][0] <= _MERGED_S:
            merged[-1][1] += count
        else:
            merged.append([at, count])
    return np.asarray(merged, dtype=float)


# Each metric's value of a request and its weight; latency is in seconds there.
_OF_REQUESTS: dict[str, Callable[[Request], tuple[float, float]]] = {
    "request_latency": lambda x: ((x.ended_ns - x.sent_ns) / 1e9, 1),
    "prompt_token_count": lambda x: (x.input_tokens, 1),
    "output_token_count": lambda x: (x.output_tokens, 1),
    "total_token_count": lambda x: (x.input_tokens + x.output_tokens, 1),
}
_OF_TIMED: dict[str, Callable[[Request], tuple[float, float]]] = {
    "time_to_first_token_ms": lambda x: (first_ns(x) / 1e6, 1),
    "time_per_output_token_ms": lambda x: (
        last_ns(x) / 1e6 / x.output_tokens,
        x.output_tokens,
    ),
    "inter_token_latency_ms": lambda x: (_itl_ms(x) or 0.0, x.output_tokens - 1),
}
