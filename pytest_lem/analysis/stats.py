"""Statistics over cycles, the unit of replication."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

CI_LEVEL = 0.95
FEW_CYCLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One metric over the cycles of an experiment.

    `value` is the mean. `std` has ddof 1 and is None below two cycles, like the
    interval; `cv` is std over mean. `ci_method` names how the interval was made.
    """

    value: float
    unit: str
    n: int
    mean: float
    std: float | None
    cv: float | None
    min: float
    max: float
    median: float
    ci_low: float | None
    ci_high: float | None
    ci_level: float | None
    ci_method: str | None


def summarise(values: Sequence[float], unit: str) -> Summary:
    """Mean, spread and t-interval of one value per cycle; `values` is not empty."""
    import numpy as np

    sample = np.asarray(values, dtype=float)
    n, mean = len(sample), float(sample.mean())
    std = float(sample.std(ddof=1)) if n > 1 else None
    half = None if std is None else t_quantile(n - 1, CI_LEVEL) * std / math.sqrt(n)
    return Summary(
        value=mean,
        unit=unit,
        n=n,
        mean=mean,
        std=std,
        cv=None if std is None or mean == 0 else std / abs(mean),
        min=float(sample.min()),
        max=float(sample.max()),
        median=float(np.median(sample)),
        ci_low=None if half is None else mean - half,
        ci_high=None if half is None else mean + half,
        ci_level=None if half is None else CI_LEVEL,
        ci_method=None if half is None else "t",
    )


def t_quantile(degrees: float, level: float) -> float:
    """Two-sided quantile of Student's t: half the interval's width in std errors."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + level) / 2))
