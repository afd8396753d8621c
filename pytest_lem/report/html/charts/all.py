"""The charts of a page, in the order in which they stand."""

from collections.abc import Callable, Sequence

from pytest_lem.report.html.charts.bars import bars
from pytest_lem.report.html.charts.boxes import boxes
from pytest_lem.report.html.charts.figure import Chart
from pytest_lem.report.html.charts.history import history
from pytest_lem.report.html.charts.points import points
from pytest_lem.report.html.charts.quality import quality
from pytest_lem.report.html.charts.scaling import scaling
from pytest_lem.report.html.charts.shares import heatmap
from pytest_lem.report.html.view import Shown

CHARTS: Sequence[Callable[[Sequence[Shown]], Sequence[Chart]]] = (
    lambda shown: [points(shown)],
    quality,
    bars,
    scaling,
    boxes,
    lambda shown: [heatmap(shown)],
    history,
)


def charts(shown: Sequence[Shown]) -> list[Chart]:
    """Those that are drawn, and those that are not with the reason."""
    return [chart for build in CHARTS for chart in build(shown)]
