"""What the meters of a session gave, and its marks, kept on the disk as they come."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from pytest_lem.machine.gpu import throttle_bits
from pytest_lem.meters import Basis, Device, Reading, Telemetry
from pytest_lem.meters.nvml.throttle import FIELDS
from pytest_lem.meters.trace import Mark
from pytest_lem.meters.trace.track import MB_PER_MIB

SERIES = ("reads", "power", "ring", "telemetry", "violation")
# About half an hour of one GPU. It is written long before, between measurements; this
# bounds the memory where one measurement lasts that long.
_MOST_PENDING = 200_000
_MARKS = "marks"

Heard = Reading | Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Taped:
    """A device on the tape: `key` is its own among those of all meters."""

    key: str
    meter: str
    basis: Basis
    device: Device


class Tape:
    """Rows of a trace, a file for each series of each device, in a directory.

    `take` is for the sampler's thread and costs it an append; `flush` writes. What
    cannot be written ends the recording: `problem` then says why.
    """

    def __init__(self, directory: Path) -> None:
        self.problem: str | None = None
        self.devices: list[Taped] = []
        self.used = False
        self._directory = directory
        self._keys: dict[tuple[int, str], str] = {}
        self._pending: list[tuple[int, Heard]] = []
        self._marks: list[Mark] = []
        self._lock = Lock()
        self._writing = Lock()

    def add(self, index: int, meter: str, basis: Basis, device: Device) -> None:
        """Learn of a device of the meter at that place, before anything is taken."""
        key = self._keys[index, device.id] = f"device-{len(self.devices)}"
        self.devices.append(Taped(key=key, meter=meter, basis=basis, device=device))

    def take(self, index: int, heard: Sequence[Heard]) -> None:
        """Take in what the meter at that place gave."""
        with self._lock:
            if self.problem is None:
                self.used = True
                self._pending += [(index, one) for one in heard]
        if len(self._pending) > _MOST_PENDING:
            self.flush()

    def mark(self, mark: Mark) -> None:
        """Take in a span."""
        with self._lock:
            self._marks.append(mark)

    def flush(self) -> None:
        """Write what was taken in since the last time."""
        with self._writing:
            with self._lock:
                pending, self._pending = self._pending, []
                marks, self._marks = self._marks, []
            try:
                self._append(pending, marks)
            except OSError as error:
                self.problem = str(error)

    def _append(
        self, pending: Sequence[tuple[int, Heard]], marks: Sequence[Mark]
    ) -> None:
        lines: dict[str, list[str]] = {}
        for index, one in pending:
            if (index, one.device) not in self._keys:
                self._add_told(index, one.device)
            key = self._keys[index, one.device]
            for series, row in _rows(one):
                lines.setdefault(f"{key}-{series}", []).append(_line(row))
        if marks:
            lines[_MARKS] = [_line(_mark(one)) for one in marks]
        self._directory.mkdir(parents=True, exist_ok=True)
        for name, told in lines.items():
            with (self._directory / name).open("a", encoding="utf-8") as file:
                file.writelines(told)

    def _add_told(self, index: int, name: str) -> None:
        """Learn of a GPU that a meter tells facts of and does not meter."""
        places = {key: place for (place, _), key in self._keys.items()}
        known = next(one for one in self.devices if places[one.key] == index)
        device = Device(id=name, scope="gpu", name=name)
        self.add(index, known.meter, known.basis, device)

    def rows(self, taped: Taped, series: str) -> Iterator[str]:
        """The rows of a series that were written, each as JSON."""
        return self._read(f"{taped.key}-{series}")

    def marks(self) -> Iterator[str]:
        """The marks that were written, each as JSON."""
        return self._read(_MARKS)

    def _read(self, name: str) -> Iterator[str]:
        path = self._directory / name
        if path.exists():
            with path.open(encoding="utf-8") as file:
                yield from (line.rstrip("\n") for line in file)

    def discard(self) -> None:
        """Throw the files away."""
        shutil.rmtree(self._directory, ignore_errors=True)


def _line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n"


def _rows(one: Heard) -> Iterator[tuple[str, list[Any]]]:
    """The rows of a trace that say the same; none for what is no number."""
    if isinstance(one, Telemetry):
        yield ("violation", _throttle(one)) if one.throttle_ns else _telemetry(one)
        return
    times = [one.before_s, one.after_s]
    for series, value in (("reads", one.energy_j), ("power", one.power_w)):
        if value is not None and math.isfinite(value):
            yield series, [*times, _thousandfold(value)]
    if one.ring_w is not None and math.isfinite(one.ring_w):
        yield "ring", [one.after_s, _thousandfold(one.ring_w)]


def _thousandfold(value: float) -> float:
    """J as mJ, W as mW: the whole number that gives just this value, if one does."""
    if not math.isfinite(value):
        return value
    nearest = round(value * 1e3)
    return nearest if nearest / 1e3 == value else value * 1e3


def _throttle(one: Telemetry) -> list[Any]:
    told = one.throttle_ns or {}
    return [one.time_s, *(told.get(name) for name in FIELDS.values())]


def _telemetry(one: Telemetry) -> tuple[str, list[Any]]:
    power_w, used_mb, reasons = one.power_w, one.memory_used_mb, one.throttle_reasons
    told = [
        None if power_w is None else _thousandfold(power_w),
        one.temperature_c,
        one.sm_clock_mhz,
        one.memory_clock_mhz,
        None if reasons is None else throttle_bits(reasons),
        one.utilisation_pct,
        None if used_mb is None else used_mb / MB_PER_MIB,
        one.pstate,
    ]
    known = [None if x is None or not math.isfinite(x) else x for x in told]
    return "telemetry", [one.time_s, *known]


def _mark(mark: Mark) -> dict[str, Any]:
    told = {"name": mark.name, "start": mark.start_s, "end": mark.end_s, **mark.about}
    return told if mark.devices is None else {**told, "devices": list(mark.devices)}
