"""A section of an experiment's details: what is told, or why there is nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_lem.report.html.charts.figure import Cell, Chart


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows below the names of their columns; `told` is its caption.

    One that is `folded` is long: it is shown when somebody opens it.
    """

    told: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    folded: bool = False


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
                    "folded": one.folded,
                }
                for one in self.tables
            ],
            "charts": [
                one.to_json() | {"told": one.told, "missing": one.missing}
                for one in self.charts
            ],
            "missing": self.missing,
        }
