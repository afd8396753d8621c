"""How requests came that had times: a row for each experiment, below the main table."""

from collections.abc import Mapping
from typing import Any

from pytest_lem.analysis.arrivals import CHECKS
from pytest_lem.records.record import ExperimentRecord, Record
from pytest_lem.report.table import number, short_names, visible

CAPTION = "Requests as they were sent, in the last window: rates, lateness, their gaps."


def rows(record: Record) -> list[dict[str, str]]:
    """A row for each experiment whose requests were sent one by one."""
    names = short_names(record)
    found = [(names[one.id], _last(one)) for one in record.experiments]
    return [_row(name, one) for name, one in found if one is not None]


def _last(experiment: ExperimentRecord) -> Mapping[str, Any] | None:
    windows = [w for one in experiment.cycles for w in one.windows]
    return windows[-1].arrivals if windows else None


def _row(name: str, one: Mapping[str, Any]) -> dict[str, str]:
    gaps, lag = one["gaps"] or dict.fromkeys(CHECKS), one["queue_lag_ms"]
    clients = "" if one["concurrency"] is None else f" {one['concurrency']}"
    return {
        "experiment": visible(name),
        "arrivals": f"{one['mode']}{clients}",
        "offered/s": number(one["offered_rps"]),
        "achieved/s": number(one["achieved_rps"]),
        "busy": number(one["busy_share"]),
        "in flight": number(one["in_flight"]),
        "lag p99 ms": number(lag and lag["p99"]),
        "KS p": number(gaps["ks"] and gaps["ks"]["p"]),
        "dispersion": number(gaps["dispersion"]),
        "lag-1": number(gaps["lag1"]),
    }
