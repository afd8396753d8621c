"""Experiments over sessions, with the lines that gates drew."""

from collections.abc import Iterator, Sequence

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
)
from pytest_lem.report.html.charts.points import SPEED, cost_of
from pytest_lem.report.html.view import Measured, Shown
from pytest_lem.report.html.words import axis, several, title

_MOST = 8


def history(shown: Sequence[Shown]) -> list[Chart]:
    """A chart of the cost, and one of the throughput."""
    return [chart(shown, metric) for metric in dict.fromkeys((cost_of(shown), SPEED))]


def chart(shown: Sequence[Measured], metric: str) -> Chart:
    """Of each experiment that was measured in several sessions, those of one metric."""
    key, name = f"history-{metric}", f"{title(metric)} over sessions"
    found: dict[tuple[str, str], list[int]] = {}
    for k, one in enumerate(shown):
        if one.has(metric):
            found.setdefault((one.identity, one.experiment_id), []).append(k)
    lines = [some for some in found.values() if len(some) > 1]
    if not lines:
        return nothing(key, name, "No experiment was measured in several sessions.")
    of_most = f"; {_MOST} are drawn at a time" if len(lines) > _MOST else ""
    return Chart(
        key=key,
        title=name,
        told=f"{several(len(lines), 'experiment')}, with 95 % intervals; dashed lines "
        f"are limits and budgets of the gate, where it judged{of_most}.",
        data=[
            trace
            for number, rows in enumerate(lines)
            for trace in _line(shown, rows, metric, number)
        ],
        layout=layout("begin of the session", axis(metric)),
        columns=[
            *("experiment", "session", "started_at", metric, "ci_low", "ci_high"),
            *("limit", "budget", "verdict", "kind"),
        ],
        rows=[_row(shown[k], metric) for rows in lines for k in rows],
        most=_MOST,
        by_series=True,
        wide=True,
    )


def _line(
    shown: Sequence[Measured], rows: Sequence[int], metric: str, number: int
) -> Iterator[Json]:
    """The values of an experiment, and its bounds below or above them."""
    some = [shown[k] for k in rows]
    numbers = [one.numbers[metric] for one in some]
    name, kind = some[-1].name, numbers[-1].kind
    color = COLOURS[number % len(COLOURS)]
    symbols = [marker(number, one.kind)["symbol"] for one in numbers]
    yield {
        "type": "scatter",
        "mode": "lines+markers",
        "name": named(name, kind),
        "legendgroup": f"{number}",
        "x": [one.started_at for one in some],
        "y": [one.value for one in numbers],
        "error_y": errors(numbers),
        "text": [plain(one.label or one.session) for one in some],
        "hovertemplate": f"{plain(name)}<br>%{{text}}<br>%{{y:.4g}}<extra></extra>",
        "marker": marker(number, kind) | {"size": 8, "symbol": symbols},
        "line": {"color": color, "width": 2},
        "meta": {"rows": list(rows)},
    }
    for word in ("limit", "budget"):
        bounds = [one.bound(metric, word) for one in some]
        there = [k for k, value in enumerate(bounds) if value is not None]
        if there:
            yield {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"{plain(name)}: {word}",
                "legendgroup": f"{number}",
                "showlegend": False,
                "x": [some[k].started_at for k in there],
                "y": [bounds[k] for k in there],
                "hovertemplate": f"{plain(name)}: {word}<br>%{{y:.4g}}<extra></extra>",
                "marker": {"color": color, "symbol": "line-ew-open", "size": 14},
                "line": {"color": color, "width": 1.2, "dash": "dash"},
                "meta": {"rows": [rows[k] for k in there]},
            }


def _row(one: Measured, metric: str) -> list[Cell]:
    found = one.numbers[metric]
    return [
        *(one.name, one.session, one.started_at, found.value, found.low, found.high),
        *(one.bound(metric, "limit"), one.bound(metric, "budget")),
        *(one.verdict, found.kind),
    ]
