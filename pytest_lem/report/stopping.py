"""How precise cycles became whose number was open, and how many more it would take."""

from collections.abc import Iterator
from typing import Any

from pytest_lem.records.record import Record
from pytest_lem.report.table import short_names, visible


def lines(record: Record) -> Iterator[str]:
    """A line for each experiment that was to go on until it is precise enough."""
    names = short_names(record)
    for one in record.experiments:
        if one.stopping is not None:
            yield f"precision of {visible(names[one.id])}: {_told(one.stopping)}"


def _told(found: dict[str, Any]) -> str:
    asked = f"±{found['asked_pct']:g} % asked"
    if found["reached_pct"] is None:
        return f"{asked}, and no interval in {found['cycles']} cycles"
    got = f"±{found['reached_pct']:.2g} % of {found['metric']}"
    got += f" in {found['cycles']} cycles, {asked}"
    if found["reached"]:
        return got
    needed = found["needed_cycles"]
    return f"{got}; it would take about {needed}" if needed else f"{got}; far from it"
