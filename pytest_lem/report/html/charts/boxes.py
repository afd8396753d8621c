"""How the cycles of each experiment spread."""

from collections.abc import Sequence

from pytest_lem.report.html.charts.figure import (
    COLOURS,
    Chart,
    Json,
    layout,
    named,
    nothing,
    places,
    plain,
    scale,
)
from pytest_lem.report.html.charts.points import SPEED, cost_of
from pytest_lem.report.html.view import Kind, Shown, names
from pytest_lem.report.html.words import axis, several, title

_MOST = 40


def boxes(shown: Sequence[Shown]) -> list[Chart]:
    """A chart of the cost, and one of the throughput."""
    return [_chart(shown, metric) for metric in dict.fromkeys((cost_of(shown), SPEED))]


def _chart(shown: Sequence[Shown], metric: str) -> Chart:
    key, name = f"boxes-{metric}", f"{title(metric)} of each cycle"
    repeated = [
        k
        for k, one in enumerate(shown)
        if one.has(metric) and len(one.numbers[metric].samples) > 1
    ]
    if not repeated:
        return nothing(key, name, "No experiment has more than one cycle.")
    called = names(shown)
    of_most = f"; {_MOST} are drawn at a time" if len(repeated) > _MOST else ""
    return Chart(
        key=key,
        title=name,
        told=f"{several(len(repeated), 'experiment')}, each a box from first to "
        f"third quartile of its cycles, which are its points{of_most}.",
        data=_series(shown, repeated, called, metric),
        layout=_layout([shown[k].numbers[metric].samples for k in repeated], metric),
        columns=["experiment", "session", "cycle", metric, "kind"],
        rows=[
            [shown[k].name, shown[k].session, number, value, shown[k].kind(metric)]
            for k in repeated
            for number, value in enumerate(shown[k].numbers[metric].samples)
        ],
        most=_MOST,
        row_px=24,
    )


def _layout(samples: Sequence[Sequence[float]], metric: str) -> Json:
    made = layout(axis(metric), "")
    made["xaxis"] |= scale([value for some in samples for value in some])
    made["yaxis"] = {
        "autorange": "reversed",
        "type": "category",
        "automargin": True,
        "dtick": 1,
        "tickfont": {"size": 11},
    }
    return made


def _series(
    shown: Sequence[Shown], repeated: Sequence[int], called: Sequence[str], metric: str
) -> list[Json]:
    colours = places([shown[k].backend for k in repeated])
    groups: dict[tuple[str, Kind], list[tuple[int, float]]] = {}
    for k in repeated:
        number = shown[k].numbers[metric]
        group = groups.setdefault((shown[k].backend, number.kind), [])
        group += [(k, value) for value in number.samples]
    return [
        {
            "type": "box",
            "orientation": "h",
            "name": named(backend, kind),
            "x": [value for _, value in some],
            "y": [plain(called[k]) for k, _ in some],
            "boxpoints": "all",
            "jitter": 0.5,
            "pointpos": 0,
            "marker": {
                "color": (colour := COLOURS[colours[backend] % len(COLOURS)]),
                "size": 5,
                "symbol": "circle" if kind == "measured" else "circle-open",
            },
            "line": {"color": colour, "width": 1.2},
            "hovertemplate": "%{y}<br>%{x:.4g}<extra></extra>",
            "meta": {"rows": [k for k, _ in some]},
        }
        for (backend, kind), some in groups.items()
    ]
