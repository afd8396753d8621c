"""Percentiles with the interval that order statistics give, whatever the law.

Of n independent values as many are below the true percentile as a binomial law says;
so two of the ordered values hold it between them with a known probability. No law of
the values is assumed, and the interval is exact up to the steps between them.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pytest_lem.analysis.stats import CI_LEVEL

PERCENTS = {"p50": 50, "p95": 95, "p99": 99}
CONFIDENCE = 0.99


def least_values(percent: float) -> int:
    """Values that a percentile needs: fewer may well have none above it.

    The rule by which MLPerf stops early, with nothing above the bound: the share below
    the percentile to the power of n is at most 1 - `CONFIDENCE`.
    """
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(percent / 100))


def percentiles(ordered: Sequence[float]) -> dict[str, Any]:
    """Each percentile (linear, numpy's type 7) with the ends of its 95 % interval.

    `ordered` are values from the lowest to the highest, and not empty. `unsupported`
    names those of fewer values than they need. An end beyond all values is None, and
    `nulls` says so.
    """
    n = len(ordered)
    found: dict[str, Any] = {}
    for name, percent in PERCENTS.items():
        found[name] = _between(ordered, (n - 1) * (percent / 100))
        low, high = ranks(n, percent / 100)
        found[f"{name}_low"] = float(ordered[low - 1]) if low else None
        found[f"{name}_high"] = float(ordered[high - 1]) if high else None
    found["unsupported"] = [k for k, q in PERCENTS.items() if n < least_values(q)]
    found["nulls"] = {k: "few_values" for k, one in found.items() if one is None}
    return found


def _between(ordered: Sequence[float], place: float) -> float:
    """The value at a place between two; numpy's own function would copy millions."""
    whole = int(place)
    share = place - whole
    low, high = ordered[whole], ordered[min(whole + 1, len(ordered) - 1)]
    step = high - low
    # From the nearer end, so that it rounds as numpy's does.
    return float(low + step * share if share < 0.5 else high - step * (1 - share))


@lru_cache(maxsize=1024)
def ranks(n: int, share: float) -> tuple[int | None, int | None]:
    """Ranks, from 1, of the ordered values between which a quantile lies.

    With at least half of what `CI_LEVEL` leaves out on each side; None where even the
    first or last value leaves more.
    """
    tail = (1 - CI_LEVEL) / 2
    low = _least(n, share, tail)
    high = _least(n, share, 1 - tail) + 1
    return low or None, high if high <= n else None


def _least(n: int, share: float, probability: float) -> int:
    """The least count that at most so many of n are under with that probability."""
    from scipy.special import bdtr

    low, high = -1, n
    while high - low > 1:
        middle = (low + high) // 2
        if bdtr(middle, n, share) >= probability:
            high = middle
        else:
            low = middle
    return high
