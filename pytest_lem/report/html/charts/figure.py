"""A chart: a figure for Plotly, its words, its data; and how series look."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_lem.report.html.view import Kind, Number
from pytest_lem.report.html.words import short

Json = dict[str, Any]
Cell = str | float | int | None

# Okabe and Ito's, which people tell apart who do not see all colours; no yellow.
COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7"),
    *("#e69f00", "#56b4e9", "#6a51a3", "#5c5c5c"),
)
SYMBOLS = (
    *("circle", "square", "diamond", "triangle-up"),
    *("cross", "x", "star", "hexagon"),
)
HATCH = "/"
_FAR = 30
MOST_LETTERS = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A figure, one sentence that says what is in it, and the numbers as a table.

    Each trace has in `meta.rows` the experiment of each of its points, by its place in
    what is shown, or one for all of them; a trace without is of no experiment alone.
    Where `missing` says why, there is nothing to draw. No more than `most` experiments
    are drawn at a time, or series of one legend group where `by_series`. `wide` charts
    take the whole width; others are as high as their categories, each `row_px`.
    """

    key: str
    title: str
    told: str
    data: Sequence[Json] = ()
    layout: Json
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    missing: str | None = None
    most: int | None = None
    by_series: bool = False
    row_px: int | None = None
    wide: bool = False

    @property
    def drawn(self) -> bool:
        """Whether there is something to draw."""
        return self.missing is None

    def to_json(self) -> Json:
        """What a browser needs to draw it and to write its data."""
        return {
            "key": self.key,
            "title": self.title,
            "data": list(self.data),
            "layout": self.layout,
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
            "most": self.most,
            "by_series": self.by_series,
            "row_px": self.row_px,
        }


def nothing(key: str, title: str, why: str) -> Chart:
    """A chart that is not drawn, with a sentence that says why."""
    return Chart(key=key, title=title, told=why, layout={}, missing=why)


def plain(text: object, most: int = MOST_LETTERS) -> str:
    """Text that Plotly, which knows some HTML, shows as it stands."""
    return html.escape(short(text, most), quote=False)


def layout(x: str, y: str, **more: Any) -> Json:
    """Titles of both axes, and what all charts have."""
    return {
        "xaxis": {"title": {"text": x}, "automargin": True},
        "yaxis": {"title": {"text": y}, "automargin": True},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "margin": {"l": 64, "r": 16, "t": 16, "b": 64},
        "hovermode": "closest",
        "showlegend": True,
        **more,
    }


def errors(numbers: Sequence[Number]) -> Json:
    """Both sides of the intervals; nothing is drawn where there is none."""
    up = [None if n.high is None else n.high - n.value for n in numbers]
    down = [None if n.low is None else n.value - n.low for n in numbers]
    return {
        "type": "data",
        "symmetric": False,
        "array": up,
        "arrayminus": down,
        "thickness": 1.2,
        "width": 0,
    }


def scale(values: Sequence[float]) -> Json:
    """An axis for what goes so far that small values would lie on each other.

    A logarithm is taken of values above 0 the largest of which is many times the least.
    """
    low, high = min(values), max(values)
    return {"type": "log", "dtick": "D2"} if 0 < low * _FAR <= high else {}


def named(series: str, kind: Kind) -> str:
    """What a legend says of a series: also that nobody measured it."""
    return plain(series) if kind == "measured" else f"{plain(series)} ({kind})"


def marker(position: int, kind: Kind) -> Json:
    """Filled where it was measured, open where it was not."""
    symbol = SYMBOLS[position % len(SYMBOLS)]
    measured = kind == "measured"
    return {
        "color": COLOURS[position % len(COLOURS)],
        "symbol": symbol if measured else f"{symbol}-open",
        "size": 9,
        "line": {"width": 0 if measured else 2},
    }


def bar(position: int, kind: Kind) -> Json:
    """Full where it was measured, hatched where it was not."""
    colour = COLOURS[position % len(COLOURS)]
    found: Json = {"color": colour, "line": {"color": colour, "width": 1}}
    if kind != "measured":
        found["pattern"] = {"shape": HATCH, "fillmode": "overlay", "solidity": 0.35}
    return found


def places(values: Sequence[str]) -> Mapping[str, int]:
    """The number of each value that differs, in the order they come."""
    return {value: k for k, value in enumerate(dict.fromkeys(values))}
