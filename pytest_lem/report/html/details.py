"""All that is told of one experiment, in sections that a browser renders on demand.

What is there: facts by name, tables, charts, and sentences; a section in which nothing
is known says why.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.report.html.charts.figure import Cell, Chart
from pytest_lem.report.html.view import Shown
from pytest_lem.report.html.words import half_width, number, title


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows below the names of their columns; `told` is its caption."""

    told: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the details. `missing` says why there is nothing else in it."""

    key: str
    title: str
    told: str = ""
    facts: Sequence[tuple[str, Cell]] = ()
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    missing: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, as the browser reads them."""
        return {
            "key": self.key,
            "title": self.title,
            "told": self.told,
            "facts": [list(one) for one in self.facts],
            "tables": [
                {
                    "told": one.told,
                    "columns": list(one.columns),
                    "rows": [list(row) for row in one.rows],
                }
                for one in self.tables
            ],
            "charts": [
                one.to_json() | {"told": one.told, "missing": one.missing}
                for one in self.charts
            ],
            "missing": self.missing,
        }


def metrics(shown: Shown) -> Section:
    """Each metric that has a number, with its interval."""
    rows: list[list[Cell]] = [
        [
            title(name),
            number(one.value),
            half_width(one.low, one.high),
            METRICS[name].unit,
            len(one.samples),
            one.kind,
        ]
        for name, one in shown.numbers.items()
    ]
    if not rows:
        return Section(key="metrics", title="Metrics", missing="No cycle completed.")
    columns = ["metric", "mean", "95 %", "unit", "cycles", "kind"]
    told = "Means over cycles, with half of the 95 % interval."
    return Section(
        key="metrics",
        title="Metrics",
        tables=[Table(told=told, columns=columns, rows=rows)],
    )


SECTIONS: Sequence[Callable[[Shown], Section]] = (metrics,)


def details(shown: Shown) -> dict[str, Any]:
    """What the browser shows of an experiment, and its record as it is."""
    return {
        "anchor": shown.anchor,
        "name": shown.name,
        "sections": [build(shown).to_json() for build in SECTIONS],
        "record": shown.side.experiment.model_dump(mode="json"),
    }
