"""Which part of the requests met their limits: a row for each experiment with some."""

from collections.abc import Mapping
from typing import Any

from pytest_lem.records.record import ExperimentRecord, Record
from pytest_lem.report.table import (
    NONE,
    cell,
    figure,
    mark,
    number,
    short_names,
    visible,
)

CAPTION = (
    "Requests that met every limit, good ones in a second and for a joule; in brackets "
    "the 95 % interval of their share. Steady: without ramp and drain."
)


def rows(record: Record) -> list[dict[str, str]]:
    """A row for each experiment whose requests had limits, and were judged."""
    names = short_names(record)
    found = [(one, one.extended.get("goodput") or {}) for one in record.experiments]
    judged = [(one, told) for one, told in found if told.get("requests")]
    return [_row(names[one.id], one, told) for one, told in judged]


def _row(name: str, one: ExperimentRecord, told: Mapping[str, Any]) -> dict[str, str]:
    limits = one.spec["workload"].get("slo") or {}
    return {
        "experiment": visible(name),
        "limits": ", ".join(f"{key}={value:g}" for key, value in limits.items()),
        "good": f"{told['good']}/{told['requests']}",
        "share": _share(told["good"] / told["requests"], told, ""),
        "good/s": cell(one.summary.get("goodput_rps"), ""),
        "good/J": cell(one.summary.get("goodput_per_joule"), mark(one)),
        "steady share": _share(told["steady_attainment"], told, "steady_"),
        "steady good/s": number(told["steady_rps"]),
    }


def _share(value: float | None, told: Mapping[str, Any], prefix: str) -> str:
    if value is None:
        return NONE
    low, high = (number(told[f"{prefix}attainment_{end}"]) for end in ("low", "high"))
    return f"{figure(value)} [{low}, {high}]"
