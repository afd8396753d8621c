"""The part of a window in which as many requests are in flight as on the median."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from pytest_lem.analysis.latency import FEW_SAMPLES, Stamps

_FIGURES = ("in_flight", "start_s", "duration_s", "achieved_rps", "output_tps")


def steady(requests: Sequence[Stamps]) -> dict[str, Any]:
    """Rates without what fills the engine at first and empties it in the end.

    It begins when for the first time as many requests are in flight as on the median of
    the time in which they were sent, and ends when that is so for the last time.
    Requests that completed count by their ends in it, tokens by their own stamps.
    `nulls` has why one of them does not exist.
    """
    found: dict[str, Any] = dict.fromkeys(_FIGURES)
    if len(requests) < FEW_SAMPLES:
        return {**found, "nulls": dict.fromkeys(_FIGURES, "few_requests")}
    pieces = _in_flight(requests)
    last_ns = max(one.sent_ns for one in requests)
    level = _median([piece for piece in pieces if piece[0] < last_ns])
    if not level:
        return {**found, "nulls": dict.fromkeys(_FIGURES, "mostly_idle")}
    start_ns = next(start for start, _, count in pieces if count >= level)
    end_ns = next(end for _, end, count in reversed(pieces) if count >= level)
    duration_s = (end_ns - start_ns) / 1e9
    tokens = [at for one in requests for at in one.token_ns if start_ns < at <= end_ns]
    done = sum(start_ns < one.ended_ns <= end_ns for one in requests if not one.failed)
    stamped = any(one.token_ns for one in requests)
    return {
        "in_flight": level,
        "start_s": start_ns / 1e9,
        "duration_s": duration_s,
        "achieved_rps": done / duration_s,
        "output_tps": len(tokens) / duration_s if stamped else None,
        "nulls": {} if stamped else {"output_tps": "no_token_stamps"},
    }


def _in_flight(requests: Sequence[Stamps]) -> list[tuple[int, int, int]]:
    """Stretches of time, each with how many requests were sent and not yet done."""
    changes = sorted(
        [(one.sent_ns, 1) for one in requests]
        + [(one.ended_ns, -1) for one in requests]
    )
    pieces, count = [], 0
    for (start_ns, step), (end_ns, _) in pairwise(changes):
        count += step
        if end_ns > start_ns:
            pieces.append((start_ns, end_ns, count))
    return pieces


def _median(pieces: Sequence[tuple[int, int, int]]) -> int:
    """The count that is reached in half of the time, or more."""
    left_ns = sum(end - start for start, end, _ in pieces) / 2
    for start, end, count in sorted(pieces, key=lambda piece: piece[2]):
        left_ns -= end - start
        if left_ns <= 0:
            return count
    return 0
