"""Requests that failed: a row for each experiment with any, below the main table."""

from collections.abc import Mapping
from typing import Any

from pytest_lem.analysis.failures import FAILURES, summed
from pytest_lem.records.record import ExperimentRecord, Record
from pytest_lem.report.table import NONE, short_names, visible

CAPTION = (
    "Requests that failed, of all windows: by how they ended, and the first error."
)


def rows(record: Record) -> list[dict[str, str]]:
    """A row for each experiment of which requests failed, in whatever cycle."""
    names = short_names(record)
    found = [(names[one.id], _all(one)) for one in record.experiments]
    failing = [(name, one) for name, one in found if one["completed"] < one["sent"]]
    kinds = [kind for kind in FAILURES if any(one[kind] for _, one in failing)]
    return [
        {
            "experiment": visible(name),
            "sent": str(one["sent"]),
            "completed": str(one["completed"]),
            **{kind: str(one[kind]) for kind in kinds},
            "first error": visible(one["errors"][0]) if one["errors"] else NONE,
        }
        for name, one in failing
    ]


def _all(experiment: ExperimentRecord) -> Mapping[str, Any]:
    windows = [window for one in experiment.cycles for window in one.windows]
    return summed([window.outcomes for window in windows if window.outcomes])
