"""The series of a tape as Parquet, with the unit in each column's name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from pytest_lem.machine.gpu import throttle_reasons
from pytest_lem.meters.nvml.throttle import FIELDS
from pytest_lem.meters.timeline.counter import CounterSeries
from pytest_lem.meters.trace.tape import Tape, Taped
from pytest_lem.meters.trace.track import MB_PER_MIB
from pytest_lem.records.files import replacing

_CHUNK = 50_000
_KEPT_STEPS = 1_000
_COUNTERS = tuple(f"throttle_{name}_ns" for name in FIELDS.values())


def write_telemetry(tape: Tape, path: Path) -> None:
    """The cheap facts of each device, and what its throttle counters showed."""
    import pyarrow as pa

    numbers = ("power_w", "temperature_c", "sm_clock_mhz", "memory_clock_mhz")
    shares = ("utilisation_pct", "memory_used_mb")
    columns = [
        ("meter", pa.string()),
        ("device", pa.string()),
        ("time_s", pa.float64()),
        *((name, pa.float64()) for name in (*numbers, *shares)),
        ("throttle_reasons", pa.list_(pa.string())),
        ("pstate", pa.int16()),
        *((name, pa.int64()) for name in _COUNTERS),
    ]
    _write(path, pa.schema(columns), _telemetry(tape))


def _telemetry(tape: Tape) -> Iterator[dict[str, Any]]:
    for taped in tape.devices:
        own = {"meter": taped.meter, "device": taped.device.id}
        for line in tape.rows(taped, "telemetry"):
            time_s, power_mw, heat_c, sm, memory, bits, busy, used, pstate = json.loads(
                line
            )
            yield {
                **own,
                "time_s": time_s,
                "power_w": None if power_mw is None else power_mw / 1e3,
                "temperature_c": heat_c,
                "sm_clock_mhz": sm,
                "memory_clock_mhz": memory,
                "utilisation_pct": busy,
                "memory_used_mb": None if used is None else used * MB_PER_MIB,
                "throttle_reasons": None if bits is None else throttle_reasons(bits),
                "pstate": pstate,
            }
        for line in tape.rows(taped, "violation"):
            time_s, *told_ns = json.loads(line)
            counters = dict(zip(_COUNTERS, told_ns, strict=True))
            yield {**own, "time_s": time_s, **counters}


def write_power(tape: Tape, path: Path) -> None:
    """Momentary power as it was read, and mean power of each step of a counter.

    The latter is over the `span_s` before `time_s`; an instant has a span of 0.
    """
    import pyarrow as pa

    columns = [
        ("meter", pa.string()),
        ("device", pa.string()),
        ("scope", pa.string()),
        ("source", pa.string()),
        ("time_s", pa.float64()),
        ("span_s", pa.float64()),
        ("power_w", pa.float64()),
    ]
    _write(path, pa.schema(columns), _power(tape))


def _power(tape: Tape) -> Iterator[dict[str, Any]]:
    for taped in tape.devices:
        device = taped.device
        own = {"meter": taped.meter, "device": device.id, "scope": device.scope}
        polled = (json.loads(line) for line in tape.rows(taped, "power"))
        ring = (json.loads(line) for line in tape.rows(taped, "ring"))
        told = chain(
            (("power", (a + b) / 2, 0.0, mw / 1e3) for a, b, mw in polled),
            (("ring", time_s, 0.0, mw / 1e3) for time_s, mw in ring),
            (("counter", *step) for step in _steps(tape, taped)),
        )
        for source, time_s, span_s, power_w in told:
            yield {
                **own,
                "source": source,
                "time_s": time_s,
                "span_s": span_s,
                "power_w": power_w,
            }


def _steps(tape: Tape, taped: Taped) -> Iterator[tuple[float, float, float | None]]:
    """End, length and mean power of each step of a counter."""
    counter, seen = CounterSeries(taped.device.refresh_s), 0
    for line in tape.rows(taped, "reads"):
        before_s, after_s, millijoules = json.loads(line)
        end_s = counter.times[-1] if counter.times else None
        counter.add(before_s, after_s, millijoules / 1e3)
        if end_s is None or counter.times[-1] == end_s:
            continue
        seen += 1
        step = len(counter.times) - 2
        yield counter.times[-1], counter.times[-1] - end_s, counter.power(step)
        if seen % _KEPT_STEPS == 0:
            counter.trim(counter.times[-_KEPT_STEPS // 10])


def write_marks(tape: Tape, path: Path) -> None:
    """The marks, with where in the session each belongs."""
    import pyarrow as pa

    columns = [
        ("name", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("experiment", pa.string()),
        ("cycle", pa.int32()),
        ("attempt", pa.int32()),
        ("window", pa.int32()),
        ("kind", pa.string()),
        ("state", pa.string()),
        ("devices", pa.list_(pa.string())),
    ]
    _write(path, pa.schema(columns), _marks(tape))


def _marks(tape: Tape) -> Iterator[dict[str, Any]]:
    for line in tape.marks():
        told = json.loads(line)
        yield {**told, "start_s": told["start"], "end_s": told["end"]}


def _write(path: Path, schema: Any, rows: Iterable[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    waiting = iter(rows)
    with replacing(path) as draft, pq.ParquetWriter(draft, schema) as writer:
        while chunk := list(islice(waiting, _CHUNK)):
            writer.write_table(pa.Table.from_pylist(chunk, schema=schema))
