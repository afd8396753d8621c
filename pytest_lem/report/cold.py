"""What a cold start costs: a row for each experiment that was measured so."""

from statistics import fmean

from pytest_lem.records.record import ExperimentRecord
from pytest_lem.report.table import cell, mark, number

CAPTION = (
    "Cold: the first pass after a load, each in a fresh process; what start and load "
    "took, and what the load drew."
)


def row(one: ExperimentRecord) -> dict[str, str] | None:
    """The row of a cold experiment."""
    if not one.cold:
        return None
    return {
        "start s": number(_start_s(one)),
        "load s": cell(one.summary.get("load_duration_s"), ""),
        "load J": cell(one.summary.get("load_energy_j"), mark(one)),
    }


def _start_s(one: ExperimentRecord) -> float | None:
    """Mean time of the starts of processes."""
    told = [c.load.get("start_s") for c in one.cycles if c.status == "complete"]
    known = [seconds for seconds in told if seconds is not None]
    return fmean(known) if known else None
