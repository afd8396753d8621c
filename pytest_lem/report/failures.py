"""Requests that failed: a row for each experiment with any, below the main table."""

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_lem.analysis.failures import FAILURES, summed
from pytest_lem.records.record import ExperimentRecord
from pytest_lem.report.table import NONE, visible

CAPTION = (
    "Requests that failed, of all windows: by how they ended, and the first error."
)


def row(experiment: ExperimentRecord) -> dict[str, str] | None:
    """The row of an experiment of which requests failed, in whatever cycle."""
    one = _all(experiment)
    if one["completed"] >= one["sent"]:
        return None
    return {
        "sent": str(one["sent"]),
        "completed": str(one["completed"]),
        **{kind: str(one[kind]) for kind in FAILURES},
        "first error": visible(one["errors"][0]) if one["errors"] else NONE,
    }


def of_kinds(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The rows without the kinds of failure that none of them had."""
    none = {kind for kind in FAILURES if all(row[kind] == "0" for row in rows)}
    return [{k: told for k, told in row.items() if k not in none} for row in rows]


def _all(experiment: ExperimentRecord) -> Mapping[str, Any]:
    windows = [window for one in experiment.cycles for window in one.windows]
    return summed([window.outcomes for window in windows if window.outcomes])
