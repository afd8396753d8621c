"""What a cold start costs: a row for each experiment that was measured so."""

from statistics import fmean

from pytest_lem.records.record import ExperimentRecord, Record
from pytest_lem.report.table import cell, mark, number, short_names, visible

CAPTION = (
    "Cold: the first pass after a load, each in a fresh process; what start and load "
    "took, and what the load drew."
)


def rows(record: Record) -> list[dict[str, str]]:
    """A row for each cold experiment."""
    names = short_names(record)
    return [_row(names[one.id], one) for one in record.experiments if one.cold]


def _row(name: str, one: ExperimentRecord) -> dict[str, str]:
    return {
        "experiment": visible(name),
        "start s": number(_start_s(one)),
        "load s": cell(one.summary.get("load_duration_s"), ""),
        "load J": cell(one.summary.get("load_energy_j"), mark(one)),
    }


def _start_s(one: ExperimentRecord) -> float | None:
    """Mean time of the starts of processes."""
    told = [c.load.get("start_s") for c in one.cycles if c.status == "complete"]
    known = [seconds for seconds in told if seconds is not None]
    return fmean(known) if known else None
