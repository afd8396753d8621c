"""A tape made into files: the trace, and its series as Parquet."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from pytest_lem.meters.nvml.throttle import FIELDS
from pytest_lem.meters.trace.columns import write_marks, write_power, write_telemetry
from pytest_lem.meters.trace.tape import SERIES, Tape, Taped
from pytest_lem.records.files import replacing


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The files of a session: the trace, and its series for other tools."""

    trace: Path
    telemetry: Path
    power: Path
    marks: Path


def save(tape: Tape, directory: Path, stem: str, meta: Mapping[str, Any]) -> Recording:
    """Write all files, each whole or not at all, and let go of the tape.

    Raises OSError where that fails; the tape is kept then.
    """
    tape.flush()
    if tape.problem is not None:
        raise OSError(tape.problem)
    directory.mkdir(parents=True, exist_ok=True)
    files = Recording(
        trace=directory / f"{stem}.trace.json.gz",
        telemetry=directory / f"{stem}.telemetry.parquet",
        power=directory / f"{stem}.power.parquet",
        marks=directory / f"{stem}.marks.parquet",
    )
    with (
        replacing(files.trace) as draft,
        gzip.open(draft, "wt", compresslevel=6, encoding="utf-8") as file,
    ):
        _write_trace(tape, file, meta)
    write_telemetry(tape, files.telemetry)
    write_power(tape, files.power)
    write_marks(tape, files.marks)
    tape.discard()
    return files


def _write_trace(tape: Tape, file: IO[str], meta: Mapping[str, Any]) -> None:
    """The trace, row by row: it may be longer than the memory."""
    file.write(f'{{"meta":{_plain(meta)},\n"devices":[')
    told = [one for one in tape.devices if _tells(tape, one)]
    for place, taped in enumerate(told):
        file.write(",\n" if place else "\n")
        file.write(json.dumps(_head(taped)).removesuffix("}"))
        for series in SERIES:
            file.write(f',\n"{series}":[')
            _write_all(file, tape.rows(taped, series))
        file.write("}")
    file.write('],\n"marks":[')
    _write_all(file, tape.marks())
    file.write("}\n")


def _plain(meta: Mapping[str, Any]) -> str:
    """As JSON; what meters say of themselves may hold what JSON does not know."""
    told = json.loads(json.dumps(meta, default=str), parse_constant=lambda _: None)
    return json.dumps(told)


def _write_all(file: IO[str], rows: Iterator[str]) -> None:
    for place, row in enumerate(rows):
        file.write(f",\n{row}" if place else f"\n{row}")
    file.write("]")


def _tells(tape: Tape, taped: Taped) -> bool:
    """Whether a device was read often enough for any energy."""
    series = ("reads", "power", "ring")
    return any(len([*islice(tape.rows(taped, one), 2)]) == 2 for one in series)


def _head(taped: Taped) -> dict[str, Any]:
    device = taped.device
    return {
        "id": device.id,
        "scope": device.scope,
        "name": device.name,
        "meter": taped.meter,
        "basis": taped.basis,
        "boundary": device.boundary,
        "refresh_s": device.refresh_s,
        "violation_fields": list(FIELDS),
    }
