"""What the spread of a metric over a grid of experiments comes from.

Sums of squares of linear models of levels. A factor is credited with what it adds to
all the others (type II); in a balanced grid that is all that it explains.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from pytest_lem.analysis.factorial import TINY, Design, Matrix, Term, rows_told
from pytest_lem.analysis.stats import CI_LEVEL, t_quantile

# How far rounding may take a contrast from what the grid tells.
_UNTOLD = 1e-6

Values = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A term's share of all the spread: its sum of squares over the total.

    `p` is of an F test against the spread between cycles, None where nothing was
    repeated. Where the grid does not tell the term, `reason` says why.
    """

    term: Term
    degrees: int
    share: float | None
    p: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """Where the spread comes from; shares add up to 1 only in a balanced grid.

    `noise` is the share of the spread between cycles of one experiment, None where
    nothing was repeated; `rest` is what neither that nor the terms together explain.
    """

    sources: Sequence[Source]
    noise: float | None
    rest: float
    values: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """By how much the metric changes from the first levels of a term to others.

    Of two factors it is by how much the effect of the one changes with the other. The
    95 % interval is by the spread between cycles; None where nothing was repeated.
    """

    term: Term
    first: tuple[str, ...]
    levels: tuple[str, ...]
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """Means of cells, the sum of squares inside of them, and its degrees of freedom."""

    means: Matrix
    inside: float
    total: float
    free: int

    @property
    def noise(self) -> float | None:
        """The variance between cycles of one cell."""
        return self.inside / self.free if self.free else None

    def half_interval(self, width: float) -> float | None:
        """Of an effect whose variance is so many times that of a cycle."""
        if self.noise is None:
            return None
        return t_quantile(self.free, CI_LEVEL) * math.sqrt(self.noise * width)


def partition(
    design: Design, values: Values, *, pairs: bool = True
) -> Partition | None:
    """The spread of the values of all experiments; None where all are equal."""
    found = _sums(design, values)
    mean = float(found.means.mean())
    if found.total <= (TINY * abs(mean)) ** 2 * len(design.cell_of_value):
        return None
    terms = [*design.factors, *(design.pairs if pairs else ())]
    sources = [_source(design, term, found) for term in terms]
    sources += [
        Source(
            term=(name,),
            degrees=0,
            share=None,
            p=None,
            reason=f"follows from {one} and {other}",
        )
        for name, (one, other) in design.follows.items()
    ]
    return Partition(
        sources=[one for one in sources if len(one.term) == 1 or one.degrees],
        noise=found.inside / found.total if found.free else None,
        rest=max(0.0, design.residual(terms, found.means) / found.total),
        values=len(design.cell_of_value),
    )


def effects(design: Design, term: Term, values: Values) -> list[Effect]:
    """Of all levels against the first, over those of the other factors that are there.

    The first are the smallest ones from which the grid tells any effect; effects that
    it does not tell are left out.
    """
    found = _sums(design, values)
    matrix = design.matrix([*design.beside(term), term])
    scale, vectors = rows_told(matrix)
    spread, estimable = (vectors / scale) @ vectors.T, vectors @ vectors.T
    solved = spread @ (matrix.T @ (found.means * np.sqrt(design.sizes)))
    there = design.combinations(term)
    for first in there:
        told = []
        for levels, contrast in _contrasts(there, first, matrix.shape[1]):
            if np.abs(contrast @ estimable - contrast).max() < _UNTOLD:
                width = float(contrast @ spread @ contrast)
                half = found.half_interval(max(0.0, width))
                told.append(
                    _effect(term, first, levels, float(contrast @ solved), half)
                )
        if told:
            return told
    return []


def _effect(
    term: Term,
    first: tuple[str, ...],
    levels: tuple[str, ...],
    value: float,
    half: float | None,
) -> Effect:
    low, high = (None, None) if half is None else (value - half, value + half)
    return Effect(
        term=term, first=first, levels=levels, value=value, low=low, high=high
    )


def _sums(design: Design, values: Values) -> _Sums:
    y = np.concatenate([np.asarray(one, dtype=float) for one in values])
    means = np.bincount(design.cell_of_value, weights=y) / design.sizes
    return _Sums(
        means=means,
        inside=float(((y - means[design.cell_of_value]) ** 2).sum()),
        total=float(((y - y.mean()) ** 2).sum()),
        free=len(y) - len(means),
    )


def _source(design: Design, term: Term, found: _Sums) -> Source:
    reason = design.untold(term)
    if reason is not None:
        return Source(term=term, degrees=0, share=None, p=None, reason=reason)
    others, degrees = design.beside(term), design.degrees(term)
    squares = design.residual(others, found.means)
    squares = max(0.0, squares - design.residual([*others, term], found.means))
    return Source(
        term=term,
        degrees=degrees,
        share=squares / found.total,
        p=_chance(squares / degrees, degrees, found),
    )


def _contrasts(
    there: Sequence[tuple[str, ...]], first: tuple[str, ...], width: int
) -> Iterator[tuple[tuple[str, ...], Matrix]]:
    """For levels that differ from the first in all: corner less corner, by columns.

    The columns of a term are the last of so many.
    """
    start = width - len(there)
    for levels in there:
        if any(a == b for a, b in zip(levels, first, strict=True)):
            continue
        contrast = np.zeros(width)
        for picks in product((True, False), repeat=len(first)):
            pairs = zip(picks, levels, first, strict=True)
            corner = tuple(one if pick else other for pick, one, other in pairs)
            contrast[start + there.index(corner)] = (-1.0) ** picks.count(False)
        yield levels, contrast


def _chance(mean_square: float, degrees: int, found: _Sums) -> float | None:
    """How likely noise alone makes so large a mean square."""
    from scipy.special import fdtrc

    if found.noise is None:
        return None
    if not found.noise:
        return 0.0 if mean_square else 1.0
    return float(fdtrc(degrees, found.free, mean_square / found.noise))
