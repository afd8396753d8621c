"""Statistics over cycles, the unit of replication."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CI_LEVEL = 0.95
FEW_CYCLES = 5
FEW_FOR_BOOTSTRAP = 10
SEED = 42
# An interval is looked at after each cycle from the 5th to the 20th: at this level for
# each, by Student's t, all together hold the mean of a normal law in 95 of 100.
LEAST_LOOK = 5
MOST_LOOK = 20
LOOK_LEVEL = 0.9902
_MOST_NEEDED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """How cycles are summed up.

    `ci` is Student's t, the percentile bootstrap of the mean or its bias-corrected and
    accelerated form (`bca`), both of `resamples`; or `repeated`, a t that may be looked
    at after each cycle. A coefficient of variation over `max_cv` makes a result
    unstable. Cycles go on until half the interval is `precision`, as a share; None
    where their number is fixed.
    """

    ci: Literal["t", "bootstrap", "bca", "repeated"] = "t"
    resamples: int = 1000
    max_cv: float = 0.10
    precision: float | None = None


STANDARD = Statistics()


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


def summarise(
    values: Sequence[float], unit: str, asked: Statistics = STANDARD
) -> Summary:
    """Mean, spread and interval of one value per cycle; `values` is not empty."""
    import numpy as np

    sample = np.asarray(values, dtype=float)
    n, mean = len(sample), float(sample.mean())
    std = float(sample.std(ddof=1)) if n > 1 else None
    low, high = interval(values, asked)
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
        ci_low=low,
        ci_high=high,
        ci_level=None if low is None else CI_LEVEL,
        ci_method=None if low is None else asked.ci,
    )


def interval(
    values: Sequence[float], asked: Statistics = STANDARD
) -> tuple[float | None, float | None]:
    """The 95 % interval of the mean; None at both ends below two values."""
    import numpy as np

    sample = np.asarray(values, dtype=float)
    n, mean = len(sample), float(sample.mean())
    if n < 2:
        return None, None
    if asked.ci in ("t", "repeated"):
        level = CI_LEVEL if asked.ci == "t" else LOOK_LEVEL
        error = float(sample.std(ddof=1)) / math.sqrt(n)
        half = t_quantile(n - 1, level) * error
        return mean - half, mean + half
    if sample.min() == sample.max():
        return mean, mean
    return _bootstrap(values, asked)


def _bootstrap(values: Sequence[float], asked: Statistics) -> tuple[float, float]:
    """By scipy, the same resamples each time."""
    import numpy as np
    from scipy.stats import bootstrap

    found = bootstrap(
        (values,),
        np.mean,
        confidence_level=CI_LEVEL,
        n_resamples=asked.resamples,
        method="percentile" if asked.ci == "bootstrap" else "bca",
        random_state=np.random.default_rng(SEED),
    ).confidence_interval
    return float(found.low), float(found.high)


def cycles_needed(cv: float, precision: float) -> int | None:
    """How many cycles of such a spread a repeated interval of such half-width takes.

    Both are shares of the mean. None where over a thousand would not do.
    """
    for n in range(LEAST_LOOK, _MOST_NEEDED + 1):
        if t_quantile(n - 1, LOOK_LEVEL) * cv / math.sqrt(n) <= precision:
            return n
    return None


def t_quantile(degrees: float, level: float) -> float:
    """Two-sided quantile of Student's t: half the interval's width in std errors."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + level) / 2))
