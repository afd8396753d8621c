"""Whether a metric rises with a setting: Spearman's correlation of ranks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

EXACT_UP_TO = 8
LEAST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """Of `n` pairs of values: rho, and how likely chance alone is as far from 0.

    By all orders there are (`exact`) for few pairs, else by Student's t, as scipy's
    `spearmanr` does.
    """

    rho: float
    p: float
    n: int
    method: Literal["exact", "t"]


def spearman(first: Sequence[float], second: Sequence[float]) -> Correlation | None:
    """Both in the same order; None below four pairs, or where either is constant."""
    if len(first) < LEAST or len({*first}) == 1 or len({*second}) == 1:
        return None
    from scipy.stats import rankdata, spearmanr

    found = spearmanr(first, second)
    exact = len(first) <= EXACT_UP_TO
    ranks = (tuple(rankdata(one).tolist()) for one in (first, second))
    return Correlation(
        rho=float(found.statistic),
        p=_exact(*ranks) if exact else float(found.pvalue),
        n=len(first),
        method="exact" if exact else "t",
    )


@cache
def _exact(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """Over all orders of the first. Rho rises as the sum of products of ranks does."""
    import numpy as np
    from scipy.stats import permutation_test

    centred = np.array(second) - np.mean(second)

    def products(ranks: Any, axis: int) -> Any:
        return (ranks * centred).sum(axis=axis)

    found = permutation_test(
        (np.array(first),),
        products,
        permutation_type="pairings",
        n_resamples=np.inf,
        vectorized=True,
    )
    return float(found.pvalue)
