"""Requests that failed: a row for each experiment with any, below the main table."""

from collections.abc import Mapping
from typing import Any

from pytest_lem.analysis.failures import FAILURES, summed
from pytest_lem.records.record import ExperimentRecord
from pytest_lem.report.table import NONE, visible

CAPTION = (
    "Requests that failed, of all windows: by how they ended, and the first error."
)


def row(experiment: ExperimentRecord) -> dict[str, str] | None:
    """The row of an experiment of which requests failed, in whatever cycle.

    A kind of failure that it had none of is a dash.
    """
    one = _all(experiment)
    if one["completed"] >= one["sent"]:
        return None
    return {
        "sent": str(one["sent"]),
        "completed": str(one["completed"]),
        **{kind: str(one[kind] or NONE) for kind in FAILURES},
        "first error": visible(one["errors"][0]) if one["errors"] else NONE,
    }


def _all(experiment: ExperimentRecord) -> Mapping[str, Any]:
    windows = [window for one in experiment.cycles for window in one.windows]
    return summed([window.outcomes for window in windows if window.outcomes])
