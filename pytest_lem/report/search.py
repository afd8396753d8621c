"""The rates that a search has found: a row for each experiment that had one."""

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_lem.records.record import Record
from pytest_lem.report.table import NONE, figure, short_names, visible

CAPTION = (
    "Highest rate in requests/s whose share of good requests is sure, the lowest that "
    "failed, what could not be told, and what the cycles at it say."
)


def rows(record: Record) -> list[dict[str, str]]:
    """A row for each experiment whose rate was searched for."""
    names = short_names(record)
    return [_row(names[one.id], one.search) for one in record.experiments if one.search]


def _row(name: str, found: Mapping[str, Any]) -> dict[str, str]:
    return {
        "experiment": visible(name),
        "passed/s": _told([found["rate_rps"]]),
        "failed/s": _told([found["failed_rps"]]),
        "undecided/s": _told(found["undecided_rps"]),
        "trials": str(found["trials"]),
        "stopped by": found["stopped"] or NONE,
        "its cycles": found["confirmation"] or NONE,
    }


def _told(rates_rps: Sequence[float | None]) -> str:
    return " ".join(figure(one, 4) for one in rates_rps if one is not None) or NONE
