"""How a metric goes with a number that was asked for, all else being alike."""

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_lem.report.html.charts.figure import (
    COLOURS,
    Cell,
    Chart,
    Json,
    errors,
    layout,
    marker,
    named,
    nothing,
    plain,
    scale,
)
from pytest_lem.report.html.charts.points import SPEED, cost_of
from pytest_lem.report.html.view import Kind, Shown, alike, latest, told_apart
from pytest_lem.report.html.words import axis, several, title

_LEAST_FOR_LOG = 8
_MOST_TICKS = 12
_MOST = 120
# What is varied, its title, and whose parameters change with it.
_OVER: Mapping[str, tuple[str, str]] = {
    "batch_size": ("batch size", "batch size [requests]"),
    "gpus": ("number of GPUs", "GPUs [count]"),
    "input_tokens": ("input length", "input tokens [token/request]"),
    "output_tokens": ("output length", "output tokens [token/request]"),
    "concurrency": ("concurrency", "concurrency [requests]"),
}
_OF_GPUS = ("_parallel_size", "copies", "shards", "tp_plan", "device_map")


def scaling(shown: Sequence[Shown]) -> list[Chart]:
    """For each number a chart of the cost, and one of the throughput."""
    metrics = dict.fromkeys((cost_of(shown), SPEED))
    return [_chart(shown, over, metric) for over in _OVER for metric in metrics]


def _chart(shown: Sequence[Shown], over: str, metric: str) -> Chart:
    word, x_title = _OVER[over]
    key, name = f"scaling-{over}-{metric}", f"{title(metric)} over {word}"
    there = [
        one
        for one in latest(shown)
        if one.has(metric) and isinstance(_x(one, over), int | float)
    ]
    groups = {
        told: sorted(some, key=lambda one: _x(one, over))
        for told, some in alike(there, _apart(there, over)).items()
        if len({_x(one, over) for one in some}) > 1
    }
    if not groups:
        why = f"No experiments were asked alike but for their {word}."
        return nothing(key, name, why)
    labels = told_apart(groups)
    rows = {id(one): k for k, one in enumerate(shown)}
    among = [one for some in groups.values() for one in some]
    values = sorted({_x(one, over) for one in among})
    costs = [one.numbers[metric].value for one in among]
    return Chart(
        key=key,
        title=name,
        told=f"{several(len(groups), 'line')} of experiments that were asked alike but "
        f"for their {word}, with 95 % intervals.",
        data=_series(groups, labels, over, metric, rows),
        layout=_layout(x_title, axis(metric), values, costs),
        columns=["line", over, "experiment", metric, "ci_low", "ci_high", "kind"],
        rows=[
            _row(labels[told], one, over, metric)
            for told, some in groups.items()
            for one in some
        ],
        most=_MOST,
    )


def _x(one: Shown, over: str) -> Any:
    return one.gpus or None if over == "gpus" else one.parameters.get(over)


def _apart(shown: Sequence[Shown], over: str) -> list[str]:
    """More GPUs are asked for by parameters of the engines."""
    if over != "gpus":
        return [over]
    keys = {key for one in shown for key in one.parameters}
    return [key for key in keys if key.endswith(_OF_GPUS)]


def _layout(
    x_title: str, y_title: str, values: Sequence[float], costs: Sequence[float]
) -> Json:
    """Ticks where there are values; as a logarithm where they go far."""
    made = layout(x_title, y_title)
    if len(values) <= _MOST_TICKS:
        made["xaxis"]["tickvals"] = values
    if values[0] > 0 and values[-1] / values[0] >= _LEAST_FOR_LOG:
        made["xaxis"]["type"] = "log"
    made["yaxis"] |= scale(costs) or {"rangemode": "tozero"}
    return made


def _series(
    groups: Mapping[tuple[str, ...], Sequence[Shown]],
    labels: Mapping[tuple[str, ...], str],
    over: str,
    metric: str,
    rows: Mapping[int, int],
) -> list[Json]:
    """A line of each group, for each thing that its numbers rest on."""
    data = []
    for k, (told, some) in enumerate(groups.items()):
        kinds: dict[Kind, list[Shown]] = {}
        for one in some:
            kinds.setdefault(one.numbers[metric].kind, []).append(one)
        for kind, alike_ in kinds.items():
            look = marker(k, kind) | {"size": 8}
            dash = "solid" if kind == "measured" else "dot"
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": named(labels[told], kind),
                    "x": [_x(one, over) for one in alike_],
                    "y": [one.numbers[metric].value for one in alike_],
                    "error_y": errors([one.numbers[metric] for one in alike_]),
                    "text": [plain(one.name) for one in alike_],
                    "hovertemplate": "%{text}<br>%{x}<br>%{y:.4g}<extra></extra>",
                    "marker": look,
                    "line": {
                        "color": COLOURS[k % len(COLOURS)],
                        "dash": dash,
                        "width": 2,
                    },
                    "meta": {"rows": [rows[id(one)] for one in alike_]},
                }
            )
    return data


def _row(label: str, one: Shown, over: str, metric: str) -> list[Cell]:
    found = one.numbers[metric]
    values = [found.value, found.low, found.high]
    return [label, _x(one, over), one.name, *values, found.kind]
