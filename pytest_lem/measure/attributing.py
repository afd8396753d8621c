"""What each request of a window is given of its energy, and by which method."""

from collections.abc import Iterator, Sequence
from typing import Any

from pytest_lem.analysis.attribution import (
    Drawn,
    Flight,
    by_phase_tokens,
    by_tokens,
)
from pytest_lem.analysis.latency import distribution
from pytest_lem.engines import Completion, Generation
from pytest_lem.measure.phases import Cut
from pytest_lem.meters.energy import EnergyReading

REQUEST_ROWS = 1000
"""Of so many requests at most a window has each; of more, their distribution alone."""


def attribution(
    generation: Generation,
    whole: EnergyReading,
    cut: Cut | str,
    *,
    rows: int = REQUEST_ROWS,
) -> dict[str, Any]:
    """The window's energy divided over all its requests, or why it cannot be.

    `method` is `by_phase_tokens` where stamps cut the window into prefill and decode,
    which `cut` tells, else `by_tokens`. `closure_pct` is by how much the shares' sum is
    above the gross.
    """
    done = generation.completions
    reason = _why_not(done, whole)
    if reason is not None or whole.gross_j is None:
        return {"method": None, "reason": reason}
    flights = [_flight(one) for one in done]
    parts = list(_parts(cut, range(len(done))))
    shares = by_phase_tokens(parts, flights) if parts else None
    method = "by_tokens" if shares is None else "by_phase_tokens"
    shares = by_tokens(whole.gross_j, flights) if shares is None else shares
    listed = len(done) <= rows
    return {
        "method": method,
        "reason": None,
        "closure_pct": 100 * (sum(shares) / whole.gross_j - 1),
        "energy_attributed_j": distribution(shares),
        "requests": _rows(done, shares) if listed else None,
        "nulls": {} if listed else {"requests": "more_than_lem_request_rows"},
    }


def _why_not(done: Sequence[Completion], whole: EnergyReading) -> str | None:
    if not whole.gross_j:
        return whole.reason or "nothing_drawn"
    if not done:
        return "no_requests"
    worked = any(one.input_tokens or one.output_tokens for one in done)
    return None if worked else "no_tokens"


def _flight(one: Completion) -> Flight:
    return Flight(
        input_tokens=one.input_tokens,
        output_tokens=one.output_tokens,
        decoded=max(0, one.output_tokens - one.texts),
    )


def _parts(cut: Cut | str, everyone: Sequence[int]) -> Iterator[Drawn]:
    """The window in phases with the energy of each; nothing where one is not known."""
    if isinstance(cut, str) or any(one.gross_j is None for _, one in cut.read):
        return
    for piece, reading in cut.read:
        assert reading.gross_j is not None
        among = everyone if piece.span is None else cut.split.members[piece.span]
        yield Drawn(phase=piece.phase, energy_j=reading.gross_j, requests=among)


def _rows(done: Sequence[Completion], shares: Sequence[float]) -> list[dict[str, Any]]:
    return [
        {
            "input_tokens": one.input_tokens,
            "output_tokens": one.output_tokens,
            "energy_attributed_j": share,
        }
        for one, share in zip(done, shares, strict=True)
    ]
