"""Percentiles of latency with their intervals: a row where tokens were timed."""

from pytest_lem.records.percentiles import interval_names
from pytest_lem.records.record import ExperimentRecord
from pytest_lem.report.table import NONE, figure, number

CAPTION = (
    "Latency in ms, mean of the cycles, in brackets the mean 95 % interval within a "
    "cycle; ? of too few requests."
)
_COLUMNS = (
    ("ttft", "p50"),
    ("ttft", "p95"),
    ("ttft", "p99"),
    ("itl", "p50"),
    ("itl", "p99"),
    ("e2e", "p95"),
)


def row(one: ExperimentRecord) -> dict[str, str] | None:
    """The row of an experiment whose tokens were timed."""
    if "ttft_p50_ms" not in one.summary:
        return None
    return {f"{kind.upper()} {q}": _cell(one, kind, q) for kind, q in _COLUMNS}


def _cell(one: ExperimentRecord, kind: str, percentile: str) -> str:
    name, ends = f"{kind}_{percentile}_ms", one.extended.get("percentiles", {})
    if name not in one.summary:
        return NONE
    low, high = (number(ends.get(key)) for key in interval_names(kind, percentile))
    doubt = "?" if name in (ends.get("unsupported") or ()) else ""
    return f"{doubt}{figure(one.summary[name].value)} [{low}, {high}]"
