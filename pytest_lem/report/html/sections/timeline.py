"""Power over time: what was drawn, and in what the engine was then."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from pytest_lem.records.record import Cycle
from pytest_lem.report.html.charts.figure import (
    COLOURS,
    Cell,
    Chart,
    Json,
    layout,
    named,
)
from pytest_lem.report.html.sections.readings import Line, Readings, readings
from pytest_lem.report.html.sections.section import Section
from pytest_lem.report.html.sections.thinning import BUCKETS, thinned
from pytest_lem.report.html.view import Kind, Shown
from pytest_lem.report.html.words import several

KEY, TITLE = "power", "Power over time"
NOT_KEPT = "The readings of the meters were not kept: --lem-traces DIR keeps them."
_MOST_CYCLES = 5
_LANES = {
    "load": ("load", "#8c8c8c"),
    "idle": ("idle", "#bdbdbd"),
    "warmup": ("warm-up", "#e69f00"),
    "window": ("window", "#0072b2"),
    "meter": ("window of `meter`", "#0072b2"),
    "prefill": ("prefill", "#cc79a7"),
    "decode": ("decode", "#009e73"),
}
_SLOWED = "#d55e00"
_COLUMNS = ("what", "start s", "end s", "W")


def power(shown: Shown) -> Section:
    """A chart of each of the first cycles that count."""
    cycles = shown.side.cycles[:_MOST_CYCLES]
    if not cycles:
        return Section(key=KEY, title=TITLE, missing="No cycle completed.")
    charts = [_chart(shown, cycle) for cycle in cycles]
    more = len(shown.side.cycles) - len(cycles)
    told = f"Of {more} more cycles the record has the means." if more else ""
    return Section(key=KEY, title=TITLE, told=told, charts=charts)


def _chart(shown: Shown, cycle: Cycle) -> Chart:
    """By the readings where they are, else by the means of windows."""
    try:
        found = _kept(shown, cycle)
    except (OSError, ValueError) as error:
        return _of_windows(shown, cycle, f"The readings cannot be read ({error}).")
    if found is None or not found.lines:
        return _of_windows(shown, cycle, NOT_KEPT)
    return _of_readings(shown, cycle, found)


def _kept(shown: Shown, cycle: Cycle) -> Readings | None:
    if shown.traces is None or shown.folder is None:
        return None
    return readings(shown.folder, shown.traces, shown.experiment_id, cycle)


def _of_readings(shown: Shown, cycle: Cycle, found: Readings) -> Chart:
    """Lines above, and below them a lane for each kind of span."""
    zero_s, kind = found.start_s, _kind(shown)
    names = _names(shown)
    lines = [
        _line(k, one, names.get(one.device, one.device), zero_s, kind)
        for k, one in enumerate(found.lines)
    ]
    lanes = [
        _lane(name, colour, spans, zero_s) for name, colour, spans in _lanes(found)
    ]
    most = max(max(one["y"]) for one in lines)
    return Chart(
        key=f"power-{cycle.index}-{cycle.attempt}",
        title=f"Power, cycle {cycle.index}",
        told=_told(found, cycle, most),
        data=[*lines, *lanes],
        layout=_axes(lanes),
        columns=_COLUMNS,
        rows=[*_rows_of_lines(found, zero_s), *_rows_of_spans(found, zero_s)],
        wide=True,
    )


def _names(shown: Shown) -> dict[str, str]:
    """What people call the GPUs of the machine, by their ids."""
    gpus = shown.side.environment.get("gpu") or []
    return {
        str(one.get("uuid")): f"GPU {one.get('index', place)}, {one.get('name')}"
        for place, one in enumerate(gpus)
    }


def _told(found: Readings, cycle: Cycle, most: float) -> str:
    """One sentence; how lines were thinned is in it, where they were."""
    thin = any(len(one.times_s) > 2 * BUCKETS for one in found.lines)
    kept = " Of each stretch its least and most are drawn." if thin else ""
    windows = several(len(found.spans.get("window", ())), "window")
    return (
        f"Power of {several(len(found.lines), 'device')} in cycle {cycle.index}, at "
        f"most {most:.4g} W, with {windows} marked below.{kept}"
    )


def _line(position: int, line: Line, name: str, zero_s: float, kind: Kind) -> Json:
    kept = thinned(line.times_s, line.power_w)
    times = [line.times_s[k] - zero_s for k in kept]
    watts = [line.power_w[k] for k in kept]
    if line.stepped:
        times.insert(0, line.times_s[0] - line.spans_s[0] - zero_s)
        watts.insert(0, line.power_w[0])
    return {
        "type": "scatter",
        "mode": "lines",
        "name": named(f"{name}, {line.source}", kind),
        "x": [round(float(one), 4) for one in times],
        "y": [round(float(one), 3) for one in watts],
        "line": {
            "color": COLOURS[position % len(COLOURS)],
            "width": 1.4,
            "shape": "vh" if line.stepped else "linear",
            "dash": "solid" if kind == "measured" else "dot",
        },
        "hovertemplate": "%{x:.3f} s: %{y:.4g} W<extra>%{fullData.name}</extra>",
    }


def _lanes(found: Readings) -> Iterator[tuple[str, str, Sequence[tuple[float, float]]]]:
    for kind, (name, colour) in _LANES.items():
        if kind in found.spans:
            yield name, colour, found.spans[kind]
    for kind, spans in sorted(found.spans.items()):
        if kind.startswith("slowed: "):
            yield kind, _SLOWED, spans


def _lane(
    name: str, colour: str, spans: Sequence[tuple[float, float]], zero_s: float
) -> Json:
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "yaxis": "y2",
        "y": [name] * len(spans),
        "base": [round(start - zero_s, 4) for start, _ in spans],
        "x": [round(end - start, 4) for start, end in spans],
        "marker": {"color": colour, "line": {"width": 0}},
        "showlegend": False,
        "hovertemplate": f"{name}: %{{base:.3f}} s, %{{x:.4g}} s long<extra></extra>",
    }


def _axes(lanes: Sequence[Json]) -> Json:
    """Power has what lanes, each as high as any, leave of the height."""
    share = min(0.07 * len(lanes), 0.5)
    made = layout("time since the warm-up began [s]", "power [W]", barmode="overlay")
    made["yaxis"] |= {"domain": [share + 0.06, 1], "rangemode": "tozero"}
    made["yaxis2"] = {
        "domain": [0, share],
        "automargin": True,
        "autorange": "reversed",
        "fixedrange": True,
        "showgrid": False,
    }
    made["xaxis"]["anchor"] = "y2"
    return made


def _rows_of_lines(found: Readings, zero_s: float) -> Iterator[list[Cell]]:
    """As they were read, at most so many as are drawn."""
    for line in found.lines:
        for k in thinned(line.times_s, line.power_w):
            end_s = float(line.times_s[k]) - zero_s
            start_s = end_s - float(line.spans_s[k])
            watts = round(float(line.power_w[k]), 3)
            yield [line.device, round(start_s, 4), round(end_s, 4), watts]


def _rows_of_spans(found: Readings, zero_s: float) -> Iterator[list[Cell]]:
    for kind, spans in found.spans.items():
        for start, end in spans:
            yield [kind, round(start - zero_s, 4), round(end - zero_s, 4), None]


def _of_windows(shown: Shown, cycle: Cycle, why: str) -> Chart:
    """The mean power of each window, and the idle power, as the record has them."""
    title, key = f"Power, cycle {cycle.index}", f"power-{cycle.index}-{cycle.attempt}"
    told = [
        (w.start_s, w.start_s + w.duration_s, w.energy.gross_j / w.duration_s)
        for w in cycle.windows
        if w.energy.gross_j is not None and w.duration_s > 0
    ]
    if not told:
        reason = cycle.nulls.get("windows.energy.gross_j", "not measured")
        text = f"No energy of its windows is known ({reason})."
        return Chart(key=key, title=title, told=text, layout={}, missing=text)
    zero_s, kind = told[0][0], _kind(shown)
    data = [_segments("mean of each window", told, zero_s, COLOURS[0], kind)]
    if cycle.idle is not None:
        idle = (zero_s, told[-1][1], cycle.idle.power_w)
        data.append(_segments("idle", [idle], zero_s, COLOURS[7], kind))
    made = layout("time since the first window began [s]", "power [W]")
    made["yaxis"]["rangemode"] = "tozero"
    return Chart(
        key=key,
        title=title,
        told=f"Mean power of {several(len(told), 'window')}. {why}",
        data=data,
        layout=made,
        columns=_COLUMNS,
        rows=[["window", a - zero_s, b - zero_s, w] for a, b, w in told],
        wide=True,
    )


def _segments(
    name: str,
    told: Sequence[tuple[float, float, float]],
    zero_s: float,
    colour: str,
    kind: Kind,
) -> Json:
    """A level line for each span, with nothing between them."""
    points: list[tuple[Any, Any]] = list(
        chain.from_iterable(
            [(a - zero_s, w), (b - zero_s, w), (None, None)] for a, b, w in told
        )
    )
    return {
        "type": "scatter",
        "mode": "lines",
        "name": named(name, kind),
        "x": [x if x is None else round(x, 4) for x, _ in points],
        "y": [y if y is None else round(y, 3) for _, y in points],
        "line": {
            "color": colour,
            "width": 3,
            "dash": "solid" if kind == "measured" else "dot",
        },
        "hovertemplate": "%{x:.3f} s: %{y:.4g} W<extra>%{fullData.name}</extra>",
    }


def _kind(shown: Shown) -> Kind:
    """What power rests on."""
    found = shown.numbers.get("avg_power_w")
    return found.kind if found else "measured"
