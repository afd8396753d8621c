"""How requests came: when they were due, sent and done, and the checks of that."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_lem.analysis.requests import Request
from pytest_lem.records.record import Window
from pytest_lem.report.html.charts.figure import COLOURS, Cell, Chart, Json, layout
from pytest_lem.report.html.sections.section import Section, Table
from pytest_lem.report.html.sections.stamps import NOT_KEPT, stamped
from pytest_lem.report.html.sections.thinning import spread_out
from pytest_lem.report.html.view import Shown
from pytest_lem.report.html.words import number

KEY, TITLE = "arrivals", "Arrival of requests"
ALL_AT_ONCE = "All requests of a window were sent at once."
_MOST = 300
_FACTS = {
    "offered_rps": "offered, requests/s",
    "sent_rps": "sent, requests/s",
    "achieved_rps": "achieved, requests/s",
    "busy_share": "share of the window in which there was a request",
    "in_flight": "in flight on the mean",
    "concurrency": "at most in flight",
    "at_once": "that the engine runs at once",
    "saturated": "saturated",
}
_GAPS = {
    "cv": "coefficient of variation",
    "dispersion": "dispersion (1 for poisson)",
    "lag1": "correlation with the next",
}
_LINES = {"due": "due_ns", "sent": "sent_ns", "done": "ended_ns"}


def arrivals(shown: Shown) -> Section:
    """The last window of the last complete cycle."""
    windows = [w for cycle in shown.side.cycles for w in cycle.windows if w.arrivals]
    if not windows:
        return Section(key=KEY, title=TITLE, missing=ALL_AT_ONCE)
    last = windows[-1]
    told = last.arrivals or {}
    return Section(
        key=KEY,
        title=TITLE,
        told=f"As they were sent in window {last.index} of the last cycle, by the law "
        f"`{told.get('mode')}`.",
        tables=[Table(told="Checks", columns=("check", "value"), rows=_checks(told))],
        charts=[_chart(shown, last)],
    )


def _checks(told: Mapping[str, Any]) -> list[list[Cell]]:
    """Each check with its value, or with the reason that it has none."""
    gaps = told.get("gaps") or {}
    lag, ks = told.get("queue_lag_ms") or {}, gaps.get("ks") or {}
    whys = {**(told.get("nulls") or {}), **(gaps.get("nulls") or {})}
    found = [(label, told.get(key), whys.get(key)) for key, label in _FACTS.items()]
    found += [
        ("lateness p99, ms", lag.get("p99"), whys.get("queue_lag_ms")),
        ("gaps: p of Kolmogorov and Smirnov", ks.get("p"), whys.get("ks")),
    ]
    found += [
        (f"gaps: {label}", gaps.get(key), whys.get(key) or whys.get("gaps"))
        for key, label in _GAPS.items()
    ]
    return [[label, _value(value, why)] for label, value, why in found]


def _value(value: Any, why: str | None) -> str:
    if value is None:
        return f"none ({why or 'not told'})"
    return str(value).lower() if isinstance(value, bool) else number(value)


def _chart(shown: Shown, last: Window) -> Chart:
    """How many requests were due, sent and done by each time."""
    title = "Requests over time"
    requests = _requests(shown, last)
    if not requests:
        return Chart(key=KEY, title=title, told=NOT_KEPT, layout={}, missing=NOT_KEPT)
    zero_ns = min(one.sent_ns for one in requests)
    counts = {
        name: sorted((at - zero_ns) / 1e9 for at in _times(requests, key))
        for name, key in _LINES.items()
    }
    drawn = {name: times for name, times in counts.items() if times}
    return Chart(
        key=KEY,
        title=title,
        told=f"{len(requests)} requests: how many were {', '.join(drawn)} by a time. "
        "Where the lines part, requests wait.",
        data=[_line(k, name, times) for k, (name, times) in enumerate(drawn.items())],
        layout=layout("time since the first was sent [s]", "requests"),
        columns=("what", "s", "requests"),
        rows=[[n, t, k] for n, times in drawn.items() for k, t in _steps(times)],
        wide=True,
    )


def _requests(shown: Shown, last: Window) -> Sequence[Request]:
    found = [w for _, windows in stamped(shown) for w in windows]
    own = [one for one in found if one.window == last.index]
    return own[-1].requests if own else ()


def _times(requests: Sequence[Request], key: str) -> Iterator[int]:
    for one in requests:
        at = getattr(one, key)
        if at is not None and (key != "ended_ns" or not one.failed):
            yield at


def _line(position: int, name: str, times: Sequence[float]) -> Json:
    steps = _steps(times)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [round(time, 5) for _, time in steps],
        "y": [count for count, _ in steps],
        "line": {"color": COLOURS[position], "width": 1.6, "shape": "hv"},
    }


def _steps(times: Sequence[float]) -> list[tuple[int, float]]:
    return [(k + 1, times[k]) for k in spread_out(len(times), _MOST)]
