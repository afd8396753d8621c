"""The files of a run: one for each process, what they share, and which are complete.

    run.json            what was run, by how many processes
    completed.jsonl     a line for each process whose file is there
    000/000000.parquet  the first process: a row for each request, the rest as metadata

A run is a cycle of an experiment.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat

from pytest_lem.analysis.metrics import QUALITIES
from pytest_lem.records.files import write_atomic
from pytest_lem.records.part import Number
from pytest_lem.records.record import SCHEMA_VERSION, Cycle, Record, Tokens
from pytest_lem.records.record import Version as _Version
from pytest_lem.records.stamps import Stamped, write_stamps

RUN, LOG = "run.json", "completed.jsonl"
HEAD = b"pytest_lem"
# Of what a directory may hold, half: a draft lies beside its file.
SHARD = 500
# Metrics of a cycle that are not told by its windows.
OF_RUN = (
    "idle_power_w",
    "load_duration_s",
    "load_energy_j",
    "warmup_duration_s",
    "memory_model_mb",
    *QUALITIES,
)


class _Whole(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RawWindow(_Whole):
    """What one process did in a window; where it had no requests `start_s` is None.

    `energy` has a row, as in `Window.energy.per_device`, for each device that is told
    by this process alone, over the whole window. `flops` has the operations of its own
    requests, None where they are not known; `reason` says why.
    """

    kind: Literal["energy", "latency"]
    index: int
    start_s: Number
    duration_s: FiniteFloat
    batches: list[int]
    tokens: Tokens
    token_sha256: str
    outcomes: dict[str, Any]
    left_out: int
    energy: list[dict[str, Any]]
    basis: str | None
    flops: dict[str, Any]
    memory: dict[str, Number]
    flags: list[str]


class RawProcess(_Whole):
    """One process of a run: its place, the engine in it, its GPUs and its windows."""

    schema_version: _Version = SCHEMA_VERSION
    index: int
    backend: str
    host: str
    pid: int | None
    devices: list[str]
    windows: list[RawWindow]


class RawRun(_Whole):
    """What the processes of a run share: a record of its one cycle without windows."""

    processes: int
    record: Record

    @property
    def cycle(self) -> Cycle:
        """The cycle that was run."""
        return self.record.experiments[0].cycles[0]


def place(index: int) -> str:
    """The file of a process, in the folder of its run."""
    return f"{index // SHARD:03d}/{index:06d}.parquet"


def write_process(
    folder: Path, process: RawProcess, windows: Sequence[Stamped]
) -> None:
    """Write the file of a process, and then its entry; OSError where that fails."""
    path = folder / place(process.index)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_stamps(windows, path, {HEAD: process.model_dump_json().encode()})
    entry = {
        "index": process.index,
        "file": place(process.index),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    with locked(folder), (folder / LOG).open("ab", buffering=0) as log:
        log.write(json.dumps(entry).encode() + b"\n")
        os.fsync(log.fileno())


def write_run(folder: Path, processes: int, record: Record) -> None:
    """Write what the processes share; OSError where that fails.

    The record has one experiment and its cycle, of which windows are left out and all
    that is made from them.
    """
    (experiment,) = record.experiments
    (cycle,) = experiment.cycles
    bare = cycle.model_copy(
        update={
            "windows": [],
            "latency": None,
            "goodput": None,
            "native": {},
            "metrics": {name: cycle.metrics.get(name) for name in OF_RUN},
        }
    )
    shared = experiment.model_copy(
        update={"cycles": [bare], "summary": {}, "extended": {}, "gate": None}
    )
    run = RawRun(
        processes=processes, record=record.model_copy(update={"experiments": [shared]})
    )
    write_atomic(folder / RUN, run.model_dump_json(indent=1) + "\n")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder of a run for nobody else; waits until it is free."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)
