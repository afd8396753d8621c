"""Where the spread of values comes from, and whether their order shows in them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

DRIFT_LEAST_CYCLES = 5
DRIFT_LEAST_SHARE = 0.01
LAG_LEAST_CYCLES = 8
# One-sided 1 % of a normal law, and of chance in both tests of order.
_Z99 = 2.326
_CHANCE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Standard deviations of three levels, each without what the one below adds.

    In the unit of the values; None where nothing at a level was repeated. Where a cycle
    has one window, `between_cycles` holds what is within one as well.
    """

    within_cycle: float | None
    between_cycles: float | None
    between_sessions: float | None


def levels(sessions: Sequence[Sequence[Sequence[float]]]) -> Levels:
    """The levels of windows in cycles in sessions, by their mean squares.

    A level that varies less than the one below it would make it by chance has 0.
    """
    cycles = [cycle for session in sessions for cycle in session]
    of_cycles = [[_mean(cycle) for cycle in session] for session in sessions]
    of_sessions = [_mean(means) for means in of_cycles]
    within = _variance(cycles)
    between = _variance(of_cycles)
    over = _variance([of_sessions])
    return Levels(
        within_cycle=_root(within, None, []),
        between_cycles=_root(between, within, [len(one) for one in cycles]),
        between_sessions=_root(over, between, [len(one) for one in of_cycles]),
    )


def drifts(values: Sequence[float]) -> bool:
    """Whether values rise or fall with their order, in a line and by over 1 % in all.

    By Student's t of the correlation, at 1 %; never of fewer than five.
    """
    from scipy.special import stdtr

    n, mean = len(values), _mean(values)
    around = [value - mean for value in values]
    square = sum(one**2 for one in around)
    if n < DRIFT_LEAST_CYCLES or not square:
        return False
    places = [k - (n - 1) / 2 for k in range(n)]
    width = sum(place**2 for place in places)
    product = sum(p * a for p, a in zip(places, around, strict=True))
    if abs(product / width) * (n - 1) < DRIFT_LEAST_SHARE * abs(mean):
        return False
    rest = square - product**2 / width
    if rest <= 0:
        return True
    t = abs(product) / math.sqrt(width * rest / (n - 2))
    return float(2 * stdtr(n - 2, -t)) < _CHANCE


def autocorrelated(values: Sequence[float]) -> bool:
    """Whether a value is like the one before it, more than chance has it in 1 %.

    By the correlation at lag 1 and its law for independent normal values (Moran 1948);
    never of fewer than eight.
    """
    n, mean = len(values), _mean(values)
    around = [value - mean for value in values]
    square = sum(one**2 for one in around)
    if n < LAG_LEAST_CYCLES or not square:
        return False
    lag = sum(a * b for a, b in pairwise(around)) / square
    error = (n - 2) / (n * math.sqrt(n - 1))
    return lag > -1 / n + _Z99 * error


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _variance(groups: Sequence[Sequence[float]]) -> float | None:
    """Within groups, pooled; None where no group has two values."""
    degrees = sum(len(group) - 1 for group in groups)
    if not degrees:
        return None
    means = [_mean(group) for group in groups]
    squares = (
        (value - mean) ** 2
        for group, mean in zip(groups, means, strict=True)
        for value in group
    )
    return sum(squares) / degrees


def _root(
    variance: float | None, below: float | None, counts: Sequence[int]
) -> float | None:
    """The level's own part: without what means of so many have from the level below."""
    if variance is None:
        return None
    share = _mean([1 / count for count in counts]) if below is not None else 0.0
    return math.sqrt(max(0.0, variance - (below or 0.0) * share))
