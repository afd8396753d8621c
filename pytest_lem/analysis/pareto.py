"""Which points no other point beats: the Pareto front, and how sure a place on it is.

A point beats another that it is at least as good as in everything and better than in
something. Equal points do not beat each other: all of them are on the front, or none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pytest_lem.analysis.gating import Direction
from pytest_lem.analysis.stats import SEED, STANDARD

Cycles = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a point stands among others; `on_front` is None where a value is missing.

    `share` is in how many of the resamples of cycles it is on the front, from 0 to 1;
    None below two cycles, of which no spread is known. `beaten_by` is the place of the
    first point on the front that beats it.
    """

    on_front: bool | None
    share: float | None
    beaten_by: int | None


def front(
    points: Sequence[Sequence[float | None]], better: Sequence[Direction]
) -> list[bool | None]:
    """Whether each point is on the front; None for one that misses a value.

    A point that misses a value beats no other. `better` has the direction of each
    value.
    """
    whole = [k for k, one in enumerate(points) if None not in one]
    found: list[bool | None] = [None] * len(points)
    if whole:
        places = _unbeaten(_costs([points[k] for k in whole], better))
        for k, place in zip(whole, places, strict=True):
            found[k] = bool(place)
    return found


def standings(
    points: Sequence[Cycles],
    better: Sequence[Direction],
    *,
    resamples: int = STANDARD.resamples,
    seed: int = SEED,
) -> list[Standing]:
    """How each point stands by the means of its cycles, and how often by others drawn.

    A point is its cycles, each with a value for each direction, which are drawn
    together. A point without cycles stands nowhere. The same resamples each time.
    """
    means = [_mean(one, len(better)) for one in points]
    places = front(means, better)
    shares = _shares([one for one in points if len(one)], better, resamples, seed)
    share_of = iter(shares)
    return [
        Standing(
            on_front=place,
            share=next(share_of) if len(cycles) else None,
            beaten_by=_beaten_by(k, means, places, better) if place is False else None,
        )
        for k, (cycles, place) in enumerate(zip(points, places, strict=True))
    ]


def _mean(cycles: Cycles, width: int) -> list[float | None]:
    if not cycles:
        return [None] * width
    return [sum(column) / len(cycles) for column in zip(*cycles, strict=True)]


def _shares(
    points: Sequence[Cycles], better: Sequence[Direction], resamples: int, seed: int
) -> list[float | None]:
    """How often each is on the front, every point's cycles drawn anew by themselves."""
    if not points:
        return []
    draws = np.random.default_rng(seed)
    means = np.empty((resamples, len(points), len(better)))
    for k, cycles in enumerate(points):
        costs = _costs(cycles, better)
        chosen = draws.integers(len(costs), size=(resamples, len(costs)))
        means[:, k] = costs[chosen].mean(axis=1)
    times = np.sum([_unbeaten(one) for one in means], axis=0)
    return [
        float(count) / resamples if len(cycles) > 1 else None
        for count, cycles in zip(times, points, strict=True)
    ]


def _beaten_by(
    k: int,
    points: Sequence[Sequence[float | None]],
    places: Sequence[bool | None],
    better: Sequence[Direction],
) -> int | None:
    for other, place in enumerate(places):
        if place and front([points[other], points[k]], better) == [True, False]:
            return other
    return None


def _costs(
    points: Sequence[Sequence[float | None]], better: Sequence[Direction]
) -> NDArray[np.float64]:
    """Values of which less is always better."""
    signs = [-1.0 if one == "higher" else 1.0 for one in better]
    return np.asarray(points, dtype=float) * signs


def _unbeaten(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows no row beats: each that is left takes out all those that it beats."""
    left, k = np.arange(len(costs)), 0
    there = costs
    while k < len(there):
        kept = (there < there[k]).any(axis=1) | (there == there[k]).all(axis=1)
        left, there = left[kept], there[kept]
        k = int(kept[:k].sum()) + 1
    found = np.zeros(len(costs), dtype=bool)
    found[left] = True
    return found
