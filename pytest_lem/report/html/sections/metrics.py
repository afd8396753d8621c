"""Metrics: each that has a number."""

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.report.html.charts.figure import Cell
from pytest_lem.report.html.sections.section import Section, Table
from pytest_lem.report.html.view import Shown
from pytest_lem.report.html.words import half_width, number, title


def metrics(shown: Shown) -> Section:
    """Each metric that has a number, with its interval."""
    rows: list[list[Cell]] = [
        [
            title(name),
            number(one.value),
            half_width(one.low, one.high),
            METRICS[name].unit,
            len(one.samples),
            one.kind,
        ]
        for name, one in shown.numbers.items()
    ]
    if not rows:
        return Section(key="metrics", title="Metrics", missing="No cycle completed.")
    columns = ["metric", "mean", "95 %", "unit", "cycles", "kind"]
    told = "Means over cycles, with half of the 95 % interval."
    return Section(
        key="metrics",
        title="Metrics",
        tables=[Table(told=told, columns=columns, rows=rows)],
    )
