"""The rates that a search has found: a row for each experiment that had one."""

from collections.abc import Sequence

from pytest_lem.records.record import ExperimentRecord
from pytest_lem.report.table import NONE, figure

CAPTION = (
    "Highest rate in requests/s whose share of good requests is sure, the lowest that "
    "failed, what could not be told, and what the cycles at it say."
)


def row(one: ExperimentRecord) -> dict[str, str] | None:
    """The row of an experiment whose rate was searched for."""
    if not (found := one.search):
        return None
    return {
        "passed/s": _told([found["rate_rps"]]),
        "failed/s": _told([found["failed_rps"]]),
        "undecided/s": _told(found["undecided_rps"]),
        "trials": str(found["trials"]),
        "stopped by": found["stopped"] or NONE,
        "its cycles": found["confirmation"] or NONE,
    }


def _told(rates_rps: Sequence[float | None]) -> str:
    return " ".join(figure(one, 4) for one in rates_rps if one is not None) or NONE
