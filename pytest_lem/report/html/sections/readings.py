"""What meters gave during an experiment, from the Parquet files beside its report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from pytest_lem.measure.throttle import FLAGS
from pytest_lem.records.record import Cycle
from pytest_lem.report.html.sections.files import Read

_MARGIN_S = 0.5
_SOURCES = ("counter", "ring", "power")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Power of a device: in steps over the `span_s` before each time, or momentary."""

    device: str
    source: str
    times_s: Any
    spans_s: Any
    power_w: Any

    @property
    def stepped(self) -> bool:
        """Whether each value is a mean over the time before it."""
        return self.source == "counter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Of one cycle: spans by their names, and the power of each device.

    `spans` has (start_s, end_s) of the marks of each kind, and of `slowed: REASON`.
    """

    spans: Mapping[str, Sequence[tuple[float, float]]]
    lines: Sequence[Line]

    @property
    def start_s(self) -> float:
        """Where the earliest window or warm-up begins."""
        work = [self.spans.get(kind, ()) for kind in ("warmup", "window", "meter")]
        told = [one for spans in work for one in spans]
        return min(start for start, _ in told or chain(*self.spans.values()))


def readings(
    folder: Path, files: Mapping[str, Any], experiment: str, cycle: Cycle
) -> Readings | None:
    """Those of one cycle; None where nothing was marked. OSError, ValueError.

    They begin with its first mark and end with its last, but for loads that cycles
    share, which may have been long before.
    """
    marks = [
        one
        for one in _rows(folder / str(files["marks_path"]))
        if one["experiment"] == experiment
        and one["cycle"] == cycle.index
        and (one["attempt"] or 0) == cycle.attempt
    ]
    own = [one for one in marks if one["name"] != "load"] or marks
    if not own:
        return None
    start_s = min(one["start_s"] for one in own)
    end_s = max(one["end_s"] for one in own)
    spans: dict[str, list[tuple[float, float]]] = {}
    for one in marks:
        if one["end_s"] > start_s - _MARGIN_S:
            spans.setdefault(one["name"], []).append((one["start_s"], one["end_s"]))
    start_s = min(start_s, *(s for told in spans.values() for s, _ in told))
    slowed = _slowed(folder / str(files["path"]), start_s, end_s)
    return Readings(
        spans=spans | slowed,
        lines=list(_lines(folder / str(files["power_path"]), start_s, end_s)),
    )


def _lines(path: Path, start_s: float, end_s: float) -> Iterator[Line]:
    """Of each device: steps of its counter, which its energy is cut from, if any."""
    for device, sources in _power(path).items():
        for source in _SOURCES:
            if source not in sources:
                continue
            times, spans, watts = sources[source]
            first = times.searchsorted(start_s - _MARGIN_S)
            last = times.searchsorted(end_s + _MARGIN_S, side="right")
            if last - first > 1:
                yield Line(
                    device=device,
                    source=source,
                    times_s=times[first:last],
                    spans_s=spans[first:last],
                    power_w=watts[first:last],
                )
                break


def _slowed(
    path: Path, start_s: float, end_s: float
) -> dict[str, list[tuple[float, float]]]:
    """When devices said that they were slowed down, by reason, of all together."""
    found: dict[str, list[tuple[float, float]]] = {}
    for _, own in groupby(_rows(path), key=itemgetter("meter", "device")):
        before: dict[str, Any] = {}
        for row in own:
            time_s = row["time_s"]
            since_s = before.get("time_s", time_s)
            if start_s <= time_s <= end_s:
                for reason in _reasons(row, before):
                    _extend(found.setdefault(f"slowed: {reason}", []), since_s, time_s)
            before = before | {key: one for key, one in row.items() if one is not None}
    return found


def _reasons(row: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    """What the sample says, and whose counters have grown since the one before."""
    told = set(row["throttle_reasons"] or ())
    for reason in FLAGS:
        key = f"throttle_{reason}_ns"
        now, then = row.get(key), before.get(key)
        grown = now is not None and then is not None and now > then
        if grown or reason in told:
            yield reason


def _extend(spans: list[tuple[float, float]], start_s: float, end_s: float) -> None:
    """Add a span; one that goes on where the last ended is the same."""
    if spans and start_s <= spans[-1][1]:
        spans[-1] = (spans[-1][0], max(end_s, spans[-1][1]))
    else:
        spans.append((start_s, end_s))


def _series(path: Path) -> dict[str, dict[str, tuple[Any, Any, Any]]]:
    """Times, spans and power in order, by device and then by source."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    found: dict[str, dict[str, tuple[Any, Any, Any]]] = {}
    for device in table["device"].unique().to_pylist():
        own = table.filter(pc.equal(table["device"], device))
        for source in own["source"].unique().to_pylist():
            rows = own.filter(pc.equal(own["source"], source)).drop_null()
            rows = rows.sort_by("time_s")
            columns = (rows[key].to_numpy() for key in ("time_s", "span_s", "power_w"))
            times, spans, watts = columns
            found.setdefault(device, {})[source] = (times, spans, watts)
    return found


def _table(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


_power = Read(_series, most=2)
_rows = Read(_table, most=4)
