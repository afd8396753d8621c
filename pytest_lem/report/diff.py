"""Two runs of an experiment: how far their headline numbers are apart, and all else."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from pytest_lem.analysis.compare import Ratio, ratio
from pytest_lem.analysis.metrics import HEADLINES
from pytest_lem.gate.apart import Apart, apart
from pytest_lem.gate.side import Side, same, sides
from pytest_lem.records.record import Record
from pytest_lem.report.table import visible

TITLES = {
    "asked": "asked for",
    "ran": "what ran",
    "machine": "the machine",
    "session": "the session",
    "conditions": "conditions, means of the windows and cycles",
    "flags": "flags",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """Both sides, the ratios of what both measured, and everything that differs."""

    first: Side
    second: Side
    ratios: dict[str, Ratio]
    apart: Sequence[Apart]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "experiments": [one.experiment.id for one in (self.first, self.second)],
            "sessions": [one.session.id for one in (self.first, self.second)],
            "ratios": {name: asdict(one) for name, one in self.ratios.items()},
            "apart": [one.to_json() for one in self.apart],
        }


def diff(first: Record, second: Record) -> list[Diff]:
    """Each experiment of the first report with itself in the second."""
    return [between(a, b) for a in sides(first) for b in sides(second) if same(a, b)]


def between(first: Side, second: Side, metrics: Sequence[str] = HEADLINES) -> Diff:
    """Two experiments, whatever they have in common."""
    ratios = dict(_ratios(first, second, metrics))
    return Diff(first=first, second=second, ratios=ratios, apart=apart(first, second))


def lines(found: Diff) -> Iterator[str]:
    """For people: numbers first, then group by group."""
    yield visible(found.first.experiment.id)
    for name, one in found.ratios.items():
        ends = "" if one.low is None else f" ({one.low:.3g} to {one.high:.3g})"
        yield f"  {name}: second over first {one.value:.3g}{ends}"
    for group, those in groupby(found.apart, key=lambda one: one.group):
        yield f"  {TITLES[group]}:"
        yield from (f"    {visible(str(one))}" for one in those)
    if not found.apart:
        yield "  nothing else differs that the reports know of"


def _ratios(a: Side, b: Side, metrics: Sequence[str]) -> Iterator[tuple[str, Ratio]]:
    for name in metrics:
        mine, its = a.values(name), b.values(name)
        if mine and its:
            yield name, ratio(mine, its)
