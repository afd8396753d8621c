"""Every experiment as a point: what it costs against how fast it is."""

from collections.abc import Sequence

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.analysis.pareto import front
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
    places,
    plain,
)
from pytest_lem.report.html.view import Kind, Shown
from pytest_lem.report.html.words import axis, several, title

SPEED = "output_throughput_tps"
_COSTS = ("energy_per_output_token_j", "ttft_p50_ms", "e2e_mean_ms", "e2e_p50_ms")


def cost_of(shown: Sequence[Shown]) -> str:
    """Energy per output token; where nobody has it, the latency that most have."""
    counts = {name: sum(one.has(name) for one in shown) for name in _COSTS}
    if counts[_COSTS[0]]:
        return _COSTS[0]
    return max(_COSTS[1:], key=lambda name: counts[name])


def points(shown: Sequence[Shown]) -> Chart:
    """What an output token costs, or how long one waits, against throughput."""
    cost = cost_of(shown)
    name = f"{title(cost)} against {title(SPEED)[0].lower()}{title(SPEED)[1:]}"
    there = [k for k, one in enumerate(shown) if one.has(cost) and one.has(SPEED)]
    if not there:
        return nothing("points", name, "No experiment has both throughput and a cost.")
    data = _series(shown, there, cost)
    lower = "lower" if METRICS[cost].better == "lower" else "higher"
    return Chart(
        key="points",
        title=name,
        told=f"{several(len(there), 'experiment')}, each a point with its 95 % "
        f"intervals; further right is faster, {lower} is better. No other experiment "
        "beats those on the line in both.",
        data=[*_fronts(shown, there, cost), *data],
        layout=layout(axis(SPEED), axis(cost)),
        columns=["experiment", "session", "backend", *_columns(SPEED, cost)],
        rows=[_row(shown[k], cost) for k in there],
        wide=True,
    )


def _series(shown: Sequence[Shown], there: Sequence[int], cost: str) -> list[Json]:
    """One for each backend and for what its energy rests on."""
    colours = places([shown[k].backend for k in there])
    groups: dict[tuple[str, Kind], list[int]] = {}
    for k in there:
        groups.setdefault((shown[k].backend, shown[k].numbers[cost].kind), []).append(k)
    data = []
    for (backend, kind), rows in groups.items():
        fast = [shown[k].numbers[SPEED] for k in rows]
        costs = [shown[k].numbers[cost] for k in rows]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": named(backend, kind),
                "x": [one.value for one in fast],
                "y": [one.value for one in costs],
                "error_x": errors(fast),
                "error_y": errors(costs),
                "text": [plain(shown[k].name) for k in rows],
                "hovertemplate": "%{text}<br>%{x:.4g}<br>%{y:.4g}<extra></extra>",
                "marker": marker(colours[backend], kind),
                "meta": {"rows": rows},
            }
        )
    return data


def _fronts(shown: Sequence[Shown], there: Sequence[int], cost: str) -> list[Json]:
    """A line through those that nothing beats which rests on the same."""
    data: list[Json] = []
    for kind in dict.fromkeys(shown[k].kind(cost) for k in there):
        some = [k for k in there if shown[k].kind(cost) == kind]
        values = [[shown[k].numbers[m].value for m in (SPEED, cost)] for k in some]
        on_front = front(values, ["higher", "lower"])
        best = sorted(one for one, is_on in zip(values, on_front, strict=True) if is_on)
        if len(best) < 2:
            continue
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": named("Pareto front", kind),
                "x": [x for x, _ in best],
                "y": [y for _, y in best],
                "hoverinfo": "skip",
                "line": {
                    "color": COLOURS[-1],
                    "width": 1.4,
                    "dash": "dot",
                    "shape": "vh",
                },
            }
        )
    return data


def _columns(*metrics: str) -> list[str]:
    return [
        f"{name}{end}" for name in metrics for end in ("", "_ci_low", "_ci_high")
    ] + ["kind"]


def _row(one: Shown, cost: str) -> list[Cell]:
    row: list[Cell] = [one.name, one.session, one.backend]
    for metric in (SPEED, cost):
        number = one.numbers[metric]
        row += [number.value, number.low, number.high]
    return [*row, one.numbers[cost].kind]
