"""The warm-up: how long its iterations took until they agreed."""

from collections.abc import Sequence

from pytest_lem.records.record import Cycle
from pytest_lem.report.html.charts.figure import COLOURS, SYMBOLS, Chart, Json, layout
from pytest_lem.report.html.sections.section import Section, Table
from pytest_lem.report.html.view import Shown
from pytest_lem.report.html.words import number

KEY, TITLE = "warmup", "Warm-up"
_COLUMNS = ("cycle", "policy", "iterations", "converged", "last cv", "s", "J")
_CONVERGED = {True: "yes", False: "no", None: "-"}


def warmup(shown: Shown) -> Section:
    """A curve for each cycle, and what the warm-up took."""
    warmed = [one for one in shown.side.cycles if one.warmup is not None]
    if not warmed:
        why = "each cycle is a cold start" if shown.side.experiment.cold else None
        told = [c.nulls["warmup"] for c in shown.side.cycles if "warmup" in c.nulls]
        why = why or (told[0] if told else "none is recorded")
        return Section(key=KEY, title=TITLE, missing=f"No warm-up ({why}).")
    rows = [_row(one) for one in warmed]
    table = Table(told="The warm-up of each cycle", columns=_COLUMNS, rows=rows)
    return Section(key=KEY, title=TITLE, tables=[table], charts=[_chart(warmed)])


def _row(cycle: Cycle) -> list[str | float | int | None]:
    one = cycle.warmup
    assert one is not None
    return [
        cycle.index,
        one.policy,
        one.iterations,
        _CONVERGED[one.converged],
        number(one.cv),
        number(one.duration_s),
        number(one.energy_j),
    ]


def _chart(warmed: Sequence[Cycle]) -> Chart:
    title = "Time of each iteration"
    told = {c.index: c.warmup.durations_s for c in warmed if c.warmup}
    drawn = {index: times for index, times in told.items() if times}
    if not drawn:
        text = "The times of its iterations are not in the record."
        return Chart(key=KEY, title=title, told=text, layout={}, missing=text)
    made = layout("iteration", "time [s]")
    made["xaxis"] |= {"dtick": 1} if max(map(len, drawn.values())) < 15 else {}
    made["yaxis"]["rangemode"] = "tozero"
    return Chart(
        key=KEY,
        title=title,
        told=f"Seconds of each iteration of the warm-up, in {len(drawn)} cycles; it "
        "ends when the last ones agree.",
        data=[_line(k, index, times) for k, (index, times) in enumerate(drawn.items())],
        layout=made,
        columns=("cycle", "iteration", "s"),
        rows=[
            [index, k, time] for index, own in drawn.items() for k, time in _count(own)
        ],
    )


def _line(position: int, index: int, times: Sequence[float]) -> Json:
    colour = COLOURS[position % len(COLOURS)]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"cycle {index}",
        "x": [k for k, _ in _count(times)],
        "y": [round(time, 6) for time in times],
        "line": {"color": colour, "width": 1.4},
        "marker": {"symbol": SYMBOLS[position % len(SYMBOLS)], "size": 6},
    }


def _count(times: Sequence[float]) -> list[tuple[int, float]]:
    return list(enumerate(times, 1))
