"""A recorded trace: what meters read of some devices, and what was going on then.

The format of the file is described in docs/traces.md.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_lem.errors import MeterError
from pytest_lem.meters.timeline import Timeline
from pytest_lem.meters.trace.track import NEEDED, Track, is_number, track_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A named span; `devices` are those whose energy counts, or None for all.

    `about` is whatever else was said of it.
    """

    name: str | None
    start_s: float
    end_s: float
    devices: tuple[str, ...] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A trace as it was read; times are seconds of its own clock."""

    path: Path
    meta: Mapping[str, Any]
    tracks: list[Track]
    marks: list[Mark]


def read_trace(path: Path) -> Trace:
    """The trace in a file, JSON or gzip of it; raises MeterError in one line."""
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        data = json.loads(raw, parse_constant=refuse)
    except (OSError, EOFError, ValueError) as error:
        raise MeterError(f"trace {path} cannot be read ({error})") from error
    try:
        return _trace(path, data)
    except ValueError as error:
        raise MeterError(f"trace {path} {error}") from error


def whole_trace(path: Path) -> Timeline:
    """The first device of a trace on a timeline, on the trace's own clock."""
    return read_trace(path).tracks[0].timeline()


def mark_of(value: Any) -> Mark:
    """A mark as JSON has it; raises ValueError where it is none.

    That is [start_s, end_s], or an object with `start_s` and `end_s` (or `start` and
    `end`), and perhaps `name` and `devices`.
    """
    if isinstance(value, list) and len(value) == 2:
        value = dict(zip(("start_s", "end_s"), value, strict=True))
    told = dict(value) if isinstance(value, dict) else {}
    start_s, end_s = (
        told.pop(f"{edge}_s", told.pop(edge, None)) for edge in ("start", "end")
    )
    name, devices = told.pop("name", None), told.pop("devices", None)
    if not is_number(start_s) or not is_number(end_s):
        msg = "is no span: write [start_s, end_s], or an object with both"
        raise ValueError(msg)
    if devices is not None and not isinstance(devices, list):
        msg = "has `devices` that are no list"
        raise ValueError(msg)
    return Mark(
        name=None if name is None else str(name),
        start_s=start_s,
        end_s=end_s,
        devices=None if devices is None else tuple(map(str, devices)),
        about=told,
    )


def refuse(constant: str) -> None:
    """NaN and infinity, which are no JSON and no times."""
    msg = f"{constant} is no number"
    raise ValueError(msg)


def _trace(path: Path, data: Any) -> Trace:
    if not isinstance(data, dict):
        raise ValueError(NEEDED)
    meta = data.get("meta", {})
    told = data.get("devices", [data])
    if not isinstance(told, list) or not told:
        msg = "has `devices` that are no list of objects"
        raise ValueError(msg)
    tracks = [track_of(k, one, meta) for k, one in enumerate(told)]
    seen: set[tuple[str, str]] = set()
    for one in tracks:
        if (one.meter, one.device.id) in seen:
            raise ValueError(f"has two devices {one.device.id!r}")
        seen.add((one.meter, one.device.id))
    return Trace(
        path=path,
        meta=meta if isinstance(meta, dict) else {},
        tracks=tracks,
        marks=_marks(data.get("marks", [])),
    )


def _marks(told: Any) -> list[Mark]:
    if not isinstance(told, list):
        msg = "has `marks` that are no list"
        raise ValueError(msg)
    marks = []
    for place, one in enumerate(told):
        try:
            marks.append(mark_of(one))
        except ValueError as error:
            raise ValueError(f"has `marks` of which number {place} {error}") from error
    return marks
