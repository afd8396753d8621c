"""Experiments that were asked alike but for one parameter, side by side."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence, Sized

from pytest_lem.report.html.charts.figure import (
    Cell,
    Chart,
    Json,
    bar,
    errors,
    layout,
    named,
    nothing,
    places,
    plain,
)
from pytest_lem.report.html.charts.points import SPEED, cost_of
from pytest_lem.report.html.view import Kind, Shown, alike, latest, told_apart
from pytest_lem.report.html.words import axis, in_order, several, short, title

_KEYS = ("backend", "precision", "batch_size")
_MOST = 60


def bars(shown: Sequence[Shown]) -> list[Chart]:
    """For each parameter a chart of the cost, and one of the throughput."""
    metrics = dict.fromkeys((cost_of(shown), SPEED))
    return [_chart(shown, key, metric) for key in _KEYS for metric in metrics]


def _chart(shown: Sequence[Shown], by: str, metric: str) -> Chart:
    key, name = f"bars-{by}-{metric}", f"{title(metric)} by {by.replace('_', ' ')}"
    newest = [one for one in latest(shown) if one.has(metric)]
    groups = {
        told: some
        for told, some in alike(newest, _apart(newest, by)).items()
        if len({_value(one, by) for one in some}) > 1
    }
    if not groups:
        why = f"No two experiments were asked alike but for their {by}."
        return nothing(key, name, why)
    among = [one for some in groups.values() for one in some]
    labels = told_apart(groups)
    rows = {id(one): k for k, one in enumerate(shown)}
    return Chart(
        key=key,
        title=name,
        told=f"{several(len(among), 'experiment')} in {several(len(groups), 'group')}; "
        f"those of a group were asked alike but for their {by.replace('_', ' ')}. "
        "Intervals are of 95 %.",
        data=_series(groups, labels, by, metric, rows),
        layout=layout("", axis(metric), barmode="group", bargap=_gap(groups, among))
        | {
            "xaxis": {"type": "category", "automargin": True},
            "margin": {"l": 64, "r": 16, "t": 16, "b": 32},
        },
        columns=["group", by, "experiment", metric, "ci_low", "ci_high", "kind"],
        rows=[
            _row(labels[told], one, by, metric)
            for told, some in groups.items()
            for one in some
        ],
        most=_MOST,
        wide=len(among) > 12,
    )


def _gap(groups: Sized, among: Sized) -> float:
    """Part of the width that is left free; a few bars are not to fill it."""
    return max(0.2, 1 - 0.1 * len(among) / math.sqrt(len(groups)))


def _apart(shown: Sequence[Shown], by: str) -> list[str]:
    """Each backend has a section and a default precision of its own."""
    own = {key for one in shown for key in one.parameters if "." in key}
    return [by, *own, "precision"] if by == "backend" else [by]


def _value(one: Shown, by: str) -> str:
    """What it has of the parameter; of precision what that came to."""
    told = one.precision if by == "precision" else one.parameters.get(by)
    return short("unset" if told is None else told, 40)


def _series(
    groups: Mapping[tuple[str, ...], Sequence[Shown]],
    labels: Mapping[tuple[str, ...], str],
    by: str,
    metric: str,
    rows: Mapping[int, int],
) -> list[Json]:
    """One for each value of the parameter, and for what its numbers rest on.

    Where a group has a value several times, their bars stand side by side as well.
    """
    told = [(labels[key], one) for key, some in groups.items() for one in some]
    colours = places(sorted({_value(one, by) for _, one in told}, key=in_order))
    seen = Counter[tuple[str, str]]()
    series: dict[tuple[str, int, Kind], list[tuple[str, Shown]]] = {}
    for label, one in told:
        value = _value(one, by)
        which = (value, seen[label, value], one.numbers[metric].kind)
        series.setdefault(which, []).append((label, one))
        seen[label, value] += 1
    ordered = sorted(series.items(), key=lambda one: colours[one[0][0]])
    return [
        {
            "type": "bar",
            "name": named(value, kind),
            "legendgroup": named(value, kind),
            "showlegend": nth == 0,
            "x": [plain(label) for label, _ in some],
            "y": [one.numbers[metric].value for _, one in some],
            "error_y": errors([one.numbers[metric] for _, one in some]),
            "text": [plain(one.name) for _, one in some],
            "textposition": "none",
            "hovertemplate": "%{text}<br>%{y:.4g}<extra></extra>",
            "marker": bar(colours[value], kind),
            "meta": {"rows": [rows[id(one)] for _, one in some]},
        }
        for (value, nth, kind), some in ordered
    ]


def _row(label: str, one: Shown, by: str, metric: str) -> list[Cell]:
    found = one.numbers[metric]
    values = [found.value, found.low, found.high]
    return [label, _value(one, by), one.name, *values, found.kind]
