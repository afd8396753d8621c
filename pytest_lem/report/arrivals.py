"""How requests came that had times: a row for each experiment, below the main table."""

from collections.abc import Mapping
from typing import Any

from pytest_lem.analysis.arrivals import CHECKS
from pytest_lem.records.record import ExperimentRecord
from pytest_lem.report.table import number

CAPTION = "Requests as they were sent, in the last window: rates, lateness, their gaps."


def row(experiment: ExperimentRecord) -> dict[str, str] | None:
    """The row of an experiment whose requests were sent one by one."""
    if (one := _last(experiment)) is None:
        return None
    gaps, lag = one["gaps"] or dict.fromkeys(CHECKS), one["queue_lag_ms"]
    clients = "" if one["concurrency"] is None else f" {one['concurrency']}"
    return {
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


def _last(experiment: ExperimentRecord) -> Mapping[str, Any] | None:
    windows = [w for one in experiment.cycles for w in one.windows]
    return windows[-1].arrivals if windows else None
