"""How long requests took: which part of them took no longer than so much."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pytest_lem.analysis.requests import Request
from pytest_lem.records.record import Cycle
from pytest_lem.report.html.charts.figure import (
    COLOURS,
    SYMBOLS,
    Cell,
    Chart,
    Json,
    layout,
    named,
)
from pytest_lem.report.html.sections.section import Section
from pytest_lem.report.html.sections.stamps import NOT_KEPT, stamped
from pytest_lem.report.html.sections.thinning import spread_out
from pytest_lem.report.html.view import Kind, Shown

KEY, TITLE = "latency", "Latency"
KINDS = {"ttft": "TTFT", "itl": "ITL", "tpot": "TPOT", "e2e": "E2E", "queue": "queue"}
_POINTS = {"min": 0.0, "p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
_MOST = 200
_COLUMNS = ("what", "cycle", "share of values", "ms", "low ms", "high ms")
_WHY = {
    "ttft": "windows.latency.ttft_ms",
    "queue": "extended.request_latency.queue_ms",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """A percentile of a cycle, with its interval where there is one."""

    kind: str
    cycle: int
    share: float
    ms: float
    low_ms: float | None
    high_ms: float | None


def latency(shown: Shown) -> Section:
    """Curves of all requests whose times were kept, and the percentiles of cycles."""
    points = [one for cycle in shown.side.cycles for one in _points(cycle)]
    curves = {kind: values for kind, values in _values(shown).items() if values}
    if not points and not curves:
        why = shown.nulls.get("e2e_mean_ms", "no cycle completed")
        text = f"No latency is known ({why})."
        return Section(key=KEY, title=TITLE, missing=text)
    return Section(
        key=KEY,
        title=TITLE,
        told=_absent(shown),
        charts=[_chart(shown, points, curves)],
    )


def _absent(shown: Shown) -> str:
    """What has no times, and why not."""
    whys = {
        "TTFT": shown.nulls.get("ttft_mean_ms"),
        "ITL": shown.nulls.get("itl_mean_ms"),
        "queue": shown.nulls.get("extended.request_latency.queue_ms"),
    }
    told = [f"{name}: {why}" for name, why in whys.items() if why]
    return f"Without times: {'; '.join(told)}." if told else ""


def _chart(
    shown: Shown, points: Sequence[_Point], curves: Mapping[str, Sequence[float]]
) -> Chart:
    kind: Kind = "synthetic" if "fake_engine" in shown.flags else "measured"
    data = [_curve(one, values, kind) for one, values in curves.items()]
    data += [_marks(one, points, kind) for one in KINDS if _of(one, points)]
    made = layout("time [ms]", "share of values at or below")
    made["xaxis"]["type"] = "log"
    made["yaxis"] |= {"range": [-0.02, 1.02], "tickformat": ".0%"}
    return Chart(
        key=KEY,
        title="Latency distributions",
        told=_told(points, curves),
        data=data,
        layout=made,
        columns=_COLUMNS,
        rows=list(_rows(points, curves)),
        wide=True,
    )


def _told(points: Sequence[_Point], curves: Mapping[str, Sequence[float]]) -> str:
    names = [KINDS[one] for one in KINDS if _of(one, points) or one in curves]
    marks = "Marks are each cycle's least, p50, p95, p99 and most, with 95 % intervals."
    if not curves:
        return f"Times of {', '.join(names)}. {marks} {NOT_KEPT}"
    count = max(len(values) for values in curves.values())
    return (
        f"Times of {', '.join(names)}: curves of up to {count} values of all cycles. "
        f"{marks}"
    )


def _curve(one: str, values: Sequence[float], kind: Kind) -> Json:
    """The share of values at or below each."""
    count = len(values)
    kept = [k for k in spread_out(count, _MOST) if values[k] > 0]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": named(f"{KINDS[one]}, all requests", kind),
        "x": [round(values[k], 4) for k in kept],
        "y": [round((k + 1) / count, 5) for k in kept],
        "line": {
            "color": _colour(one),
            "width": 1.6,
            "shape": "hv",
            "dash": "solid" if kind == "measured" else "dot",
        },
    }


def _marks(one: str, points: Sequence[_Point], kind: Kind) -> Json:
    own = [point for point in _of(one, points) if point.ms > 0]
    place = list(KINDS).index(one)
    symbol = SYMBOLS[place % len(SYMBOLS)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": named(f"{KINDS[one]}, each cycle", kind),
        "x": [point.ms for point in own],
        "y": [point.share for point in own],
        "text": [f"cycle {point.cycle}" for point in own],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [_apart(point.ms, point.high_ms) for point in own],
            "arrayminus": [_apart(point.low_ms, point.ms) for point in own],
            "thickness": 1,
            "width": 3,
        },
        "marker": {
            "color": _colour(one),
            "symbol": symbol if kind == "measured" else f"{symbol}-open",
            "size": 7,
        },
        "hovertemplate": "%{text}: %{y:.0%} took %{x:.4g} ms<extra></extra>",
    }


def _rows(
    points: Sequence[_Point], curves: Mapping[str, Sequence[float]]
) -> Iterator[list[Cell]]:
    for one in points:
        head: list[Cell] = [KINDS[one.kind], one.cycle]
        yield [*head, one.share, one.ms, one.low_ms, one.high_ms]
    for kind, values in curves.items():
        for k in spread_out(len(values), _MOST):
            yield [KINDS[kind], "all", (k + 1) / len(values), values[k], None, None]


def _points(cycle: Cycle) -> Iterator[_Point]:
    """The percentiles of a cycle, of what its engine told and of waiting to be sent."""
    told: dict[str, Any] = dict(cycle.latency or {})
    for window in cycle.windows:
        told["queue_ms"] = ((window.latency or {}).get("engine_times") or {}).get(
            "queue_ms"
        ) or told.get("queue_ms")
    for kind in KINDS:
        block = told.get(f"{kind}_ms") or {}
        for name, share in _POINTS.items():
            if block.get(name) is not None:
                yield _Point(
                    kind=kind,
                    cycle=cycle.index,
                    share=share,
                    ms=block[name],
                    low_ms=block.get(f"{name}_low"),
                    high_ms=block.get(f"{name}_high"),
                )


def _values(shown: Shown) -> dict[str, list[float]]:
    """All times in ms, in order, by kind, of requests that count."""
    found: dict[str, list[float]] = {"ttft": [], "itl": [], "e2e": []}
    for _, windows in stamped(shown):
        for window in windows:
            for one in window.requests:
                if not one.failed and not one.left_out:
                    found["e2e"].append((one.ended_ns - one.sent_ns) / 1e6)
                    found["ttft"] += _first(one)
                    found["itl"] += _gaps(one)
    return {kind: sorted(values) for kind, values in found.items()}


def _first(one: Request) -> Iterable[float]:
    return [(one.token_ns[0] - one.sent_ns) / 1e6] if len(one.token_ns) else []


def _gaps(one: Request) -> Iterable[float]:
    return ((b - a) / 1e6 for a, b in pairwise(one.token_ns))


def _of(kind: str, points: Sequence[_Point]) -> list[_Point]:
    return [one for one in points if one.kind == kind]


def _apart(low: float | None, high: float | None) -> float | None:
    return None if low is None or high is None else high - low


def _colour(kind: str) -> str:
    return COLOURS[list(KINDS).index(kind)]
