"""A grid of experiments: factors, their levels, and what they tell apart."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Term = tuple[str, ...]
"""A factor, or two of them together."""

TINY = 1e-9


class Design:
    """The levels of each experiment by factor, and how many values each has.

    Factors of one level are none, and those that only change together are one, by the
    name of the first; `together` has the others. `follows` has those nested in one
    factor that follow from it and another: they are that pair. Experiments of equal
    levels are one cell, and repetitions of each other. The same design serves all
    metrics that the same cycles have.
    """

    def __init__(
        self, columns: Mapping[str, Sequence[str]], counts: Sequence[int]
    ) -> None:
        """`columns` has a level for each experiment, `counts` its number of values."""
        told = {name: one for name, one in columns.items() if len({*one}) > 1}
        self.together = _merged(told)
        told = {name: told[name] for name in self.together}
        self.follows = _followers(told)
        told = {name: one for name, one in told.items() if name not in self.follows}
        points = list(zip(*told.values(), strict=True)) or [()] * len(counts)
        cells = {one: k for k, one in enumerate(dict.fromkeys(points))}
        self.cell_of_value = np.repeat([cells[one] for one in points], counts)
        self.sizes = np.bincount(self.cell_of_value, minlength=len(cells))
        self.levels = {name: sorted({*one}, key=_order) for name, one in told.items()}
        self._columns = {
            name: [cell[k] for cell in cells] for k, name in enumerate(self.levels)
        }
        self._basis = cache(self._basis_of)

    @property
    def factors(self) -> list[Term]:
        """Each by itself."""
        return [(name,) for name in self.levels]

    @property
    def pairs(self) -> list[Term]:
        """Those of two factors of which neither decides the other."""
        return [
            (one, other)
            for one, other in combinations(self.levels, 2)
            if not (self._decides(one, other) or self._decides(other, one))
        ]

    @property
    def balanced(self) -> bool:
        """Whether all combinations are there, with equally many values."""
        whole = math.prod(map(len, self.levels.values()))
        return whole == len(self.sizes) and len({*self.sizes.tolist()}) == 1

    def beside(self, term: Term) -> list[Term]:
        """What a term is adjusted for: a factor for all but those nested in it.

        Two factors together are adjusted for all other such pairs as well.
        """
        if len(term) == 2:
            return [*self.factors, *(one for one in self.pairs if one != term)]
        (name,) = term
        return [
            (other,)
            for other in self.levels
            if other != name and not self._decides(other, name)
        ]

    def untold(self, term: Term) -> str | None:
        """Why a term cannot be told from what changes with it; None where it can."""
        if len(term) == 1 and len(self.levels) > 1:
            (name,) = term
            if len(self.levels[name]) == len(self.sizes):
                return "is another in each experiment"
        if not self.degrees(term):
            return "cannot be told apart from the others together"
        return None

    def degrees(self, term: Term) -> int:
        """Degrees of freedom that a term adds to what is beside it."""
        others = self.beside(term)
        return self._rank([*others, term]) - self._rank(others)

    def residual(self, terms: Iterable[Term], means: Matrix) -> float:
        """The sum of squares between cells that a model of the terms leaves."""
        y = means * np.sqrt(self.sizes)
        found = self._basis(frozenset(terms)).T @ y
        return float(y @ y - found @ found)

    def matrix(self, terms: Iterable[Term]) -> Matrix:
        """One row a cell, weighted: a column of ones, then those of each term."""
        columns = [np.ones(len(self.sizes))]
        columns += [column for term in terms for column in self._dummies(term)]
        return np.column_stack(columns) * np.sqrt(self.sizes)[:, None]

    def combinations(self, term: Term) -> list[tuple[str, ...]]:
        """Levels of a term, in the order of its columns; the first are the smallest."""
        return list(product(*(self.levels[name] for name in term)))

    def _dummies(self, term: Term) -> Iterator[Matrix]:
        told = [np.array(self._columns[name], dtype=object) for name in term]
        for levels in self.combinations(term):
            same = [column == one for column, one in zip(told, levels, strict=True)]
            yield np.logical_and.reduce(same).astype(float)

    def _basis_of(self, terms: Collection[Term]) -> Matrix:
        matrix = self.matrix(sorted(terms))
        scale, vectors = rows_told(matrix)
        return np.asarray(matrix @ vectors / np.sqrt(scale))

    def _rank(self, terms: Iterable[Term]) -> int:
        return int(self._basis(frozenset(terms)).shape[1])

    def _decides(self, one: str, other: str) -> bool:
        return _decides(self._columns[one], self._columns[other])


def rows_told(matrix: Matrix) -> tuple[Matrix, Matrix]:
    """Eigenvalues and vectors of its columns' products, without those that are 0.

    Columns of levels are well conditioned, and far fewer than experiments can be.
    """
    scale, vectors = np.linalg.eigh(matrix.T @ matrix)
    there = scale > TINY * scale[-1]
    return scale[there], vectors[:, there]


def _merged(columns: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The first of each set of factors that only change together, with the others."""
    found: dict[str, list[str]] = {}
    for name, one in columns.items():
        both = ((_decides(one, columns[k]), _decides(columns[k], one)) for k in found)
        twin = next((k for k, told in zip(found, both, strict=True) if all(told)), None)
        if twin is None:
            found[name] = []
        else:
            found[twin].append(name)
    return found


def _followers(columns: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, str]]:
    """Factors that decide a second one, and are decided by it and a third together."""
    found: dict[str, tuple[str, str]] = {}
    for name, one in columns.items():
        others = [k for k in columns if k != name and k not in found]
        outer = [k for k in others if _decides(one, columns[k])]
        for first, second in product(outer, others):
            both = list(zip(columns[first], columns[second], strict=True))
            if second not in outer and _decides(both, one):
                found[name] = (first, second)
                break
    return found


def _decides(one: Sequence[object], other: Sequence[object]) -> bool:
    """Whether each level of the one goes with a single level of the other."""
    return len({*zip(one, other, strict=True)}) == len({*one})


def _order(level: str) -> tuple[float, str]:
    """Numbers by size, behind what is no number."""
    try:
        return float(level), ""
    except ValueError:
        return -math.inf, level
