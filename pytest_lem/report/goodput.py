"""Which part of the requests met their limits: a row for each experiment with some."""

from collections.abc import Mapping
from typing import Any

from pytest_lem.records.record import ExperimentRecord
from pytest_lem.report.table import NONE, cell, figure, mark, number

CAPTION = (
    "Requests that met every limit, good ones in a second and for a joule; in brackets "
    "the 95 % interval of their share. Steady: without ramp and drain."
)


def row(one: ExperimentRecord) -> dict[str, str] | None:
    """The row of an experiment whose requests had limits, and were judged."""
    told = one.extended.get("goodput") or {}
    if not told.get("requests"):
        return None
    limits = one.spec["workload"].get("slo") or {}
    return {
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
