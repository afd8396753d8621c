"""Reading a run's files, and whether they are all there and what they were.

Each check is logged with what it looked at, and told in the record.
"""

import hashlib
import io
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pytest_lem.errors import AggregationError
from pytest_lem.records.raw.files import (
    HEAD,
    LOG,
    RUN,
    RawProcess,
    RawRun,
    locked,
)

LEAST_OVERLAP = 0.5
_COLUMNS = ("window", "sent_ns", "ended_ns", "outcome", "left_out", "token_ns")
_NAMED = 5
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process as it was read; `rows` are its requests, as columns of arrays."""

    head: RawProcess
    rows: Any


@dataclass(slots=True, kw_only=True)
class Checks:
    """What was checked of a run: `rows` for the record, `problems` that stop it."""

    folder: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def note(self, name: str, told: str, problems: Sequence[str] = ()) -> None:
        """Take in one check, by its name: what it looked at, and what is wrong."""
        found = "; ".join(problems)
        _log.info("%s: %s: %s", self.folder, name, found or told)
        self.problems += problems
        row = {"check": name, "passed": not problems, "told": found or told}
        self.rows.append(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A run as it was read; `missing` are the processes that are not in `parts`."""

    run: RawRun
    parts: list[Part]
    missing: list[int]
    backends: list[str]
    overlap: float | None
    checks: Checks


def read_run(folder: Path, *, partial: bool = False, mixed: bool = False) -> Read:
    """The processes of a run, checked; AggregationError where it is not whole.

    `partial` takes those that are whole, `mixed` such as are of several backends.
    """
    with locked(folder):
        run = _shared(folder)
        checks = Checks(folder=folder)
        entries = _completed(folder, checks)
        _files_match(folder, entries, checks)
        _count(run, entries, checks)
        parts = list(_parts(folder, entries, run.processes, checks))
    if checks.problems and not partial:
        raise AggregationError(f"{folder}: {'; '.join(checks.problems)}")
    if not parts:
        raise AggregationError(f"{folder}: no process of it is whole")
    backends = sorted({part.head.backend for part in parts})
    checks.note("backends", f"{len(parts)} processes of {', '.join(backends)}")
    if len(backends) > 1 and not mixed:
        raise AggregationError(
            f"{folder}: processes of several backends ({', '.join(backends)}): "
            "--allow-mixed-backends takes them together, and says so"
        )
    _one_clock(folder, parts, checks)
    _devices_are_apart(folder, parts, checks)
    there = {part.head.index for part in parts}
    return Read(
        run=run,
        parts=parts,
        missing=[k for k in range(run.processes) if k not in there],
        backends=backends,
        overlap=_overlap(parts, checks),
        checks=checks,
    )


def _shared(folder: Path) -> RawRun:
    try:
        return RawRun.model_validate_json((folder / RUN).read_bytes())
    except OSError as error:
        why = error.strerror
    except ValidationError as error:
        first = error.errors()[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    raise AggregationError(f"{folder}: {RUN} cannot be read: {why}")


def _completed(folder: Path, checks: Checks) -> dict[int, dict[str, Any]]:
    """The log's entries by process, the first of each."""
    found: dict[int, dict[str, Any]] = {}
    wrong, twice = [], []
    try:
        lines = (folder / LOG).read_bytes().splitlines()
    except OSError as error:
        lines, wrong = [], [f"{LOG} cannot be read: {error.strerror}"]
    for number, line in enumerate(lines, 1):
        entry = _entry(line)
        if entry is None:
            wrong.append(f"line {number} of {LOG} is no entry")
        elif entry["index"] in found:
            twice.append(f"process {entry['index']} is completed twice")
        else:
            found[entry["index"]] = entry
    checks.note("entries", f"{len(lines)} in {LOG}", wrong)
    checks.note("duplicates", f"{len(found)} processes, each once", twice)
    return found


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
        typed = isinstance(entry["index"], int) and isinstance(entry["file"], str)
    except (ValueError, KeyError, TypeError):
        return None
    return entry if typed and isinstance(entry.get("sha256"), str) else None


def _files_match(
    folder: Path, entries: dict[int, dict[str, Any]], checks: Checks
) -> None:
    """A crash between file and entry leaves one of them alone; so does a deletion."""
    there = {str(path.relative_to(folder)) for path in folder.glob("*/*.parquet")}
    told = {entry["file"] for entry in entries.values()}
    wrong = [f"{one} has no entry in {LOG}" for one in sorted(there - told)]
    wrong += [f"{one} is completed and is not there" for one in sorted(told - there)]
    checks.note("files", f"{len(there)}, each with its entry", _few(wrong))


def _count(run: RawRun, entries: dict[int, dict[str, Any]], checks: Checks) -> None:
    wanted = set(range(run.processes))
    missing, more = sorted(wanted - entries.keys()), sorted(entries.keys() - wanted)
    wrong = [f"process {_numbers(missing)} is missing"] if missing else []
    wrong += [f"process {_numbers(more)} is none of them"] if more else []
    counted = f"{len(entries)} of {run.processes} processes"
    checks.note("count", counted, [f"{counted}: {', '.join(wrong)}"] if wrong else [])


def _parts(
    folder: Path, entries: dict[int, dict[str, Any]], count: int, checks: Checks
) -> Iterator[Part]:
    """Each process that is whole, in order."""
    wrong = []
    read = 0
    for index in sorted(entries):
        entry = entries[index]
        try:
            part = _part(folder / entry["file"], entry)
        except FileNotFoundError:
            continue  # told with the files
        except (OSError, ValueError) as error:
            wrong.append(f"{entry['file']} {error}")
            continue
        read += 1
        if index < count:
            yield part
    checks.note("content", f"{read} files as they were completed", _few(wrong))


def _part(path: Path, entry: dict[str, Any]) -> Part:
    """The process in a file; ValueError where it is not what its entry says."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise ValueError("is not what was completed")
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        head = RawProcess.model_validate_json(file.schema_arrow.metadata[HEAD])
        rows = file.read(columns=list(_COLUMNS), use_threads=False)
    except (pa.ArrowException, KeyError, TypeError, ValidationError) as error:
        msg = f"is none of these files: {str(error).splitlines()[0]}"
        raise ValueError(msg) from error
    if head.index != entry["index"]:
        raise ValueError(f"is of process {head.index}, not {entry['index']}")
    there = Counter(rows["window"].to_pylist())
    told = {w.index: w.outcomes["sent"] for w in head.windows if w.outcomes["sent"]}
    if there != told:
        raise ValueError(f"has {there.total()} requests of {sum(told.values())}")
    return Part(head=head, rows=rows)


def _one_clock(folder: Path, parts: Sequence[Part], checks: Checks) -> None:
    """Times are of the clock that processes of one machine share."""
    hosts = sorted({part.head.host for part in parts})
    told = ", ".join(hosts)
    wrong = (
        f"processes of several machines ({told}): their clocks have no common zero, so "
        "nobody knows how long they took together"
    )
    checks.note("clock", f"all on {told}", [wrong] if len(hosts) > 1 else ())
    if len(hosts) > 1:
        raise AggregationError(f"{folder}: {wrong}")


def _devices_are_apart(folder: Path, parts: Sequence[Part], checks: Checks) -> None:
    """A device of two processes would be in the sum twice."""
    used = [(one, part.head.index) for part in parts for one in part.head.devices]
    for part in parts:
        rows = [row for window in part.head.windows for row in window.energy]
        keys = {row["device"] for row in rows}
        used += [(f"the energy of {one}", part.head.index) for one in keys]
    owners: dict[str, list[int]] = {}
    for name, index in used:
        owners.setdefault(name, []).append(index)
    wrong = [
        f"{name} is of processes {_numbers(several)} and would count twice"
        for name, several in owners.items()
        if len(several) > 1
    ]
    gpus = {one for part in parts for one in part.head.devices}
    checks.note("devices", f"{len(gpus)} GPUs, each of one process", _few(wrong))
    if wrong:
        raise AggregationError(f"{folder}: {'; '.join(_few(wrong))}")


def _overlap(parts: Sequence[Part], checks: Checks) -> float | None:
    """The least share of a window's shortest process in which all were at work."""
    spans: dict[int, list[tuple[float, float]]] = {}
    for window in (one for part in parts for one in part.head.windows):
        if window.start_s is not None:
            span = (window.start_s, window.start_s + window.duration_s)
            spans.setdefault(window.index, []).append(span)
    shares = []
    for some in spans.values():
        together_s = min(end for _, end in some) - max(start for start, _ in some)
        shortest_s = min(end - start for start, end in some)
        shares.append(max(0.0, together_s) / shortest_s if shortest_s else 1.0)
    least = min(shares, default=None)
    told = "no windows" if least is None else f"{100 * least:.0f} % of the shortest"
    # Reported and flagged: processes that took turns are still what they were.
    checks.note("overlap", f"{told}, at least {100 * LEAST_OVERLAP:.0f} % is usual")
    checks.rows[-1]["passed"] = least is None or least >= LEAST_OVERLAP
    return least


def _numbers(some: Sequence[int]) -> str:
    named = ", ".join(map(str, some[:_NAMED]))
    return f"{named} and {len(some) - _NAMED} more" if len(some) > _NAMED else named


def _few(wrong: Sequence[str]) -> list[str]:
    if len(wrong) <= _NAMED:
        return list(wrong)
    return [*wrong[:_NAMED], f"{len(wrong) - _NAMED} more like these"]
