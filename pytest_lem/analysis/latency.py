"""Latency from time stamps: what METRICS calls TTFT, TPOT, ITL and E2E.

A request is (sent_ns, ended_ns, token_ns); token_ns is empty where none was stamped.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_lem.analysis.percentiles import percentiles

FEW_SAMPLES = 30
UNSUPPORTED = "unsupported_percentiles"


@dataclass(frozen=True, slots=True)
class Stamps:
    """One request's stamps, in nanoseconds of one monotonic clock.

    What `failed` has no latency: it did not do what was asked, or was ended.
    """

    sent_ns: int
    ended_ns: int
    token_ns: Sequence[int]
    failed: bool = False


def streamed(
    requests: Sequence[Stamps],
    *,
    tokenise_ms: float | None = None,
    queue_ms: float | None = None,
    together: bool = False,
) -> dict[str, Any]:
    """Distributions over completed requests that stamped every token.

    A request without tokens has no TTFT; one with a single token has no ITL, no TPOT.
    `itl_trimmed` leaves out the first and last gap of each request. `tokenise_ms` is
    what tokenising one prompt took, before it was sent; `queue_ms` what a request
    waited for the engine on the mean, where several were there `together`.
    """
    requests = [one for one in requests if not one.failed]
    timed = [request for request in requests if len(request.token_ns)]
    decoded = [request for request in timed if len(request.token_ns) > 1]
    ttft = distribution([_ms(one.sent_ns, int(one.token_ns[0])) for one in timed])
    return {
        "method": "true_streaming",
        "requests": len(requests),
        "ttft_ms": ttft,
        "ttft_parts_ms": _ttft_parts(
            tokenise_ms, queue_ms, ttft["mean"] if ttft else None, together=together
        ),
        "tpot_ms": distribution([_tpot_ms(one) for one in decoded]),
        "itl_ms": _of_ordered(_gaps_ms(timed)),
        "itl_trimmed_ms": _of_ordered(_gaps_ms(timed, trimmed=1)),
        "e2e_ms": _end_to_end(requests),
        "flags": _flags(len(timed)) + _unsupported(ttft),
    }


def batched(requests: Sequence[Stamps]) -> dict[str, Any]:
    """End-to-end time of requests that were generated in batches: no TTFT, no ITL."""
    requests = [one for one in requests if not one.failed]
    return {
        "method": "per_request_batch",
        "requests": len(requests),
        "ttft_ms": None,
        "ttft_parts_ms": None,
        "tpot_ms": None,
        "itl_ms": None,
        "itl_trimmed_ms": None,
        "e2e_ms": _end_to_end(requests),
        "flags": _flags(len(requests)),
    }


def distribution(values: Sequence[float]) -> dict[str, Any] | None:
    """Mean, extremes, and percentiles with intervals; None without values."""
    import numpy as np

    return _of_ordered(np.sort(np.asarray(values, dtype=float)))


def _of_ordered(values: Any) -> dict[str, Any] | None:
    """That of an array of values in order; of millions there is no room for a copy."""
    if not len(values):
        return None
    return {
        "n": len(values),
        "mean": math.fsum(values) / len(values),
        "min": float(values[0]),
        "max": float(values[-1]),
        **percentiles(values),
    }


def _ttft_parts(
    tokenise_ms: float | None,
    queue_ms: float | None,
    ttft_ms: float | None,
    *,
    together: bool,
) -> dict[str, Any]:
    """Mean milliseconds of each part, and why what is null is.

    Prompts are sent as token ids, so tokenising comes before TTFT and is not in it.
    Prefill ends with the first token, which leaves nothing for a first decoding step.
    One request at a time waits for nothing; of several it has to be known how long.
    """
    waited_ms = queue_ms if together else 0.0
    prefill_ms = None
    if ttft_ms is not None and waited_ms is not None:
        prefill_ms = ttft_ms - waited_ms
    parts = {
        "tokenise": tokenise_ms,
        "queue": queue_ms if together else None,
        "prefill": prefill_ms,
        "first_decode": None,
    }
    reasons = {
        "tokenise": "prompts_are_token_ids",
        "queue": "not_reported_by_engine" if together else "one_at_a_time",
        "prefill": "no_first_token" if ttft_ms is None else "queue_not_known",
        "first_decode": "first_token_ends_prefill",
    }
    nulls = {key: why for key, why in reasons.items() if parts[key] is None}
    return {**parts, "nulls": nulls}


def _end_to_end(requests: Sequence[Stamps]) -> dict[str, Any] | None:
    return distribution([_ms(one.sent_ns, one.ended_ns) for one in requests])


def _tpot_ms(request: Stamps) -> float:
    """Time after the first token over the tokens after it."""
    after = len(request.token_ns) - 1
    return _ms(int(request.token_ns[0]), request.ended_ns) / after


def _gaps_ms(timed: Sequence[Stamps], trimmed: int = 0) -> Any:
    """Times between tokens, in order, as one array: of many requests it is large.

    Without the first and last `trimmed` of each request.
    """
    import numpy as np

    sizes = [max(0, len(one.token_ns) - 1 - 2 * trimmed) for one in timed]
    found = np.empty(sum(sizes))
    start = 0
    for one, size in zip(timed, sizes, strict=True):
        gaps = np.diff(np.asarray(one.token_ns, dtype=np.int64))
        found[start : start + size] = gaps[trimmed : trimmed + size] / 1e6
        start += size
    found.sort()
    return found


def _ms(start_ns: int, end_ns: int) -> float:
    return (end_ns - start_ns) / 1e6


def _unsupported(found: dict[str, Any] | None) -> list[str]:
    """Requests are what there are too few of; of gaps each has many."""
    return [UNSUPPORTED] if found and found["unsupported"] else []


def _flags(samples: int) -> list[str]:
    return ["few_samples"] if samples < FEW_SAMPLES else []
