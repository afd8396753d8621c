"""How two sets of cycles compare: by the ratio of what they cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_lem.analysis.stats import CI_LEVEL, t_quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """The second over the first, of geometric means, and its 95 % interval.

    The interval is Welch's, on logarithms; None where a side has fewer than two cycles.
    """

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Of two means of logarithms, with its standard error and degrees of freedom."""

    mean: float
    error: float
    degrees: float


def ratio(first: Sequence[float], second: Sequence[float]) -> Ratio:
    """The ratio of two sets of values above zero, one value for each cycle."""
    found = welch(first, second)
    if found is None:
        value = math.exp(of_logs(second)[0] - of_logs(first)[0])
        return Ratio(value=value, low=None, high=None)
    value = math.exp(found.mean)
    if not found.error:
        return Ratio(value=value, low=value, high=value)
    factor = math.exp(t_quantile(found.degrees, CI_LEVEL) * found.error)
    return Ratio(value=value, low=value / factor, high=value * factor)


def welch(first: Sequence[float], second: Sequence[float]) -> Difference | None:
    """The second less the first in logarithms; None where a side has but one value."""
    (mean_1, square_1), (mean_2, square_2) = map(of_logs, (first, second))
    if square_1 is None or square_2 is None:
        return None
    square = square_1 + square_2
    parts = square_1**2 / (len(first) - 1) + square_2**2 / (len(second) - 1)
    degrees = square**2 / parts if parts else float(len(first) + len(second) - 2)
    return Difference(mean=mean_2 - mean_1, error=math.sqrt(square), degrees=degrees)


def of_logs(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean of the logarithms, and the square of its standard error."""
    logs = [math.log(value) for value in values]
    mean = sum(logs) / len(logs)
    if len(logs) < 2:
        return mean, None
    return mean, sum((one - mean) ** 2 for one in logs) / (len(logs) - 1) / len(logs)
