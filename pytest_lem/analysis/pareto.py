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
        (places,) = _on_front(_costs([points[k] for k in whole], better)[None])
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
    beaten = _beaten_by(means, places, better)
    return [
        Standing(
            on_front=place,
            share=next(share_of) if len(cycles) else None,
            beaten_by=by,
        )
        for cycles, place, by in zip(points, places, beaten, strict=True)
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
    times = _on_front(means).sum(axis=0)
    return [
        float(count) / resamples if len(cycles) > 1 else None
        for count, cycles in zip(times, points, strict=True)
    ]


def _beaten_by(
    points: Sequence[Sequence[float | None]],
    places: Sequence[bool | None],
    better: Sequence[Direction],
) -> list[int | None]:
    """The first on the front that beats each point that is not on it."""
    first = [k for k, place in enumerate(places) if place]
    there = _costs([points[k] for k in first], better)
    found: list[int | None] = []
    for point, place in zip(points, places, strict=True):
        if place is not False:
            found.append(None)
            continue
        (cost,) = _costs([point], better)
        beats = (there <= cost).all(axis=1) & (there < cost).any(axis=1)
        found.append(first[int(beats.argmax())])
    return found


def _costs(
    points: Sequence[Sequence[float | None]], better: Sequence[Direction]
) -> NDArray[np.float64]:
    """Values of which less is always better."""
    signs = [-1.0 if one == "higher" else 1.0 for one in better]
    return np.asarray(points, dtype=float).reshape(-1, len(signs)) * signs


def _on_front(draws: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points of each draw nobody beats; axes are draws, points and costs."""
    if draws.shape[2] == 2:
        return _of_two(draws[..., 0], draws[..., 1])
    return np.array([_unbeaten(one) for one in draws])


def _of_two(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """By the first cost in order, who is below all before him in the second.

    Equal points stand side by side in that order, and share the place of the first.
    """
    order = np.lexsort((second, first))
    first, second = (np.take_along_axis(one, order, 1) for one in (first, second))
    before = np.minimum.accumulate(second, axis=1)
    before = np.insert(before[:, :-1], 0, np.inf, axis=1)
    new = np.ones(first.shape, dtype=bool)
    new[:, 1:] = (np.diff(first, axis=1) != 0) | (np.diff(second, axis=1) != 0)
    leader = np.maximum.accumulate(np.where(new, np.arange(first.shape[1]), 0), axis=1)
    places = np.take_along_axis(second < before, leader, 1)
    found = np.empty_like(places)
    np.put_along_axis(found, order, places, 1)
    return found


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
