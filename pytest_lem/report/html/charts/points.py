"""Every experiment as a point: what it costs against how fast it is."""

from collections.abc import Iterable, Mapping, Sequence

from pytest_lem.analysis.gating import Direction
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
    scale,
)
from pytest_lem.report.html.view import Kind, Number, Shown
from pytest_lem.report.html.words import axis, several, title

Pair = tuple[Number, Number]
"""A point: what is across, and what it costs."""

FIRST_COLUMNS = ("experiment", "session", "backend")
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
    there = {
        k: (one.numbers[SPEED], one.numbers[cost])
        for k, one in enumerate(shown)
        if one.has(cost) and one.has(SPEED)
    }
    if not there:
        return nothing("points", name, "No experiment has both throughput and a cost.")
    lines = fronts(there, ("higher", "lower"))
    on_line = " No experiment beats those on the line in both." if lines else ""
    lower = "lower" if METRICS[cost].better == "lower" else "higher"
    return Chart(
        key="points",
        title=name,
        told=f"{several(len(there), 'experiment')}, each a point with its 95 % "
        f"intervals; further right is faster, {lower} is better.{on_line}",
        data=[*lines, *series(shown, there)],
        layout=_layout(there.values(), cost),
        columns=[*FIRST_COLUMNS, *columns_of(SPEED, cost)],
        rows=[row_of(shown[k], pair) for k, pair in there.items()],
        wide=True,
    )


def _layout(pairs: Iterable[Pair], cost: str) -> Json:
    right, up = zip(*pairs, strict=True)
    made = layout(axis(SPEED), axis(cost))
    made["xaxis"] |= scale([one.value for one in right])
    made["yaxis"] |= scale([one.value for one in up])
    return made


def series(shown: Sequence[Shown], there: Mapping[int, Pair]) -> list[Json]:
    """One for each backend and for what a point rests on."""
    colours = places([shown[k].backend for k in there])
    groups: dict[tuple[str, Kind], list[int]] = {}
    for k, pair in there.items():
        groups.setdefault((shown[k].backend, kind_of(pair)), []).append(k)
    data = []
    for (backend, kind), rows in groups.items():
        right, up = zip(*(there[k] for k in rows), strict=True)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": named(backend, kind),
                "x": [one.value for one in right],
                "y": [one.value for one in up],
                "error_x": errors(right),
                "error_y": errors(up),
                "text": [plain(shown[k].name) for k in rows],
                "hovertemplate": "%{text}<br>%{x:.4g}<br>%{y:.4g}<extra></extra>",
                "marker": marker(colours[backend], kind),
                "meta": {"rows": rows},
            }
        )
    return data


def fronts(
    there: Mapping[int, Pair], better: tuple[Direction, Direction]
) -> list[Json]:
    """A line through those that nothing beats which rests on the same."""
    data: list[Json] = []
    for kind in dict.fromkeys(map(kind_of, there.values())):
        some = [pair for pair in there.values() if kind_of(pair) == kind]
        values = [[one.value for one in pair] for pair in some]
        on_front = front(values, better)
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
                    "shape": "vh" if better[0] == "higher" else "hv",
                },
            }
        )
    return data


def kind_of(pair: Pair) -> Kind:
    """What a point rests on, as its cost does; if that was measured, as the other."""
    across, up = pair
    return across.kind if up.kind == "measured" else up.kind


def columns_of(*metrics: str) -> list[str]:
    """What `row_of` has."""
    return [
        f"{name}{end}" for name in metrics for end in ("", "_ci_low", "_ci_high")
    ] + ["kind"]


def row_of(one: Shown, pair: Pair) -> list[Cell]:
    """A point's numbers, as its chart's table has them."""
    row: list[Cell] = [one.name, one.session, one.backend]
    for number in pair:
        row += [number.value, number.low, number.high]
    return [*row, kind_of(pair)]
