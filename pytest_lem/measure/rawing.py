"""What each process of a cycle did, kept apart where that was asked for."""

import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_lem.engines import Generation
from pytest_lem.measure.computing import ceiling, computed
from pytest_lem.measure.failing import outcomes_of
from pytest_lem.measure.laboratory import Bench, Laboratory
from pytest_lem.measure.notebook import Notebook
from pytest_lem.measure.stamping import stamped
from pytest_lem.measure.watching import profile_name
from pytest_lem.measure.window import Pass, tokens
from pytest_lem.records.raw.files import RawProcess, RawWindow, write_process
from pytest_lem.records.record import Cycle, Window
from pytest_lem.records.stamps import Stamped

_FLOPS = (
    "prefill",
    "decode",
    "needed",
    "peak_flops_per_s",
    "method",
    "confidence",
    "reason",
    "padding_included",
    "precision",
)
_NOTHING = {"prefill": 0.0, "decode": 0.0, "needed": 0.0}


def processes_of(cycle: Cycle) -> int:
    """How many copies of its engine a cycle had; shards of one are one."""
    if cycle.effective.get("ranks") != "copies":
        return 1
    return int(cycle.effective["world_size"])


def save_raw(lab: Laboratory, notes: Notebook, cycle: Cycle) -> Cycle:
    """The cycle, with what each process did in files, if that was asked for.

    Where they cannot be written the cycle is flagged and still counts.
    """
    folder, bench = lab.conditions.save_raw, notes.bench
    if folder is None or bench is None or cycle.status != "complete":
        why = "not_asked_for" if folder is None else "cycle_does_not_count"
        return _without(cycle, why)
    if notes.trial is not None:
        return _without(cycle, "cycle_does_not_count")
    lab.progress.phase("keep what processes did")
    stem = Path(profile_name(notes.experiment.id)).stem
    path = folder.absolute() / stem[-2:] / stem / f"cycle-{notes.index}"
    try:
        path.mkdir(parents=True)
        for process, windows in _processes(lab, notes, bench, cycle):
            write_process(path, process, windows)
    except OSError:
        flags = sorted({*cycle.flags, "raw_not_saved"})
        bare = cycle.model_copy(update={"flags": flags})
        return _without(bare, "not_writable")
    return cycle.model_copy(update={"raw_path": str(path)})


def _without(cycle: Cycle, why: str) -> Cycle:
    return cycle.model_copy(update={"nulls": {**cycle.nulls, "raw_path": why}})


def _processes(
    lab: Laboratory, notes: Notebook, bench: Bench, cycle: Cycle
) -> Iterator[tuple[RawProcess, list[Stamped]]]:
    count = processes_of(cycle)
    benches = [_bench_of(bench, index, count) for index in range(count)]
    # What no process has to itself, as CPU and memory, the first one tells.
    owned = {device for one in benches[1:] for device in one.loaded.devices}
    pids = bench.client.hello.get("ranks") or [bench.client.pid]
    costed = list(zip(notes.passes, cycle.windows, strict=True))
    for index, own in enumerate(benches):
        devices = {*own.loaded.devices}
        yield (
            RawProcess(
                index=index,
                backend=bench.spec.backend,
                host=socket.gethostname(),
                pid=pids[index] if count > 1 else bench.client.pid,
                devices=[one for one in own.loaded.devices if one != "cpu"],
                windows=[
                    _window(
                        lab,
                        notes,
                        own,
                        run=_share(run, index, count),
                        whole=window,
                        energy=[
                            row
                            for row in window.energy.per_device
                            if row["device"] in devices
                            or (index == 0 and row["device"] not in owned)
                        ],
                    )
                    for run, window in costed
                ],
            ),
            [
                replace(one, requests=one.requests[index::count])
                for one in map(stamped, notes.passes)
            ],
        )


def _bench_of(bench: Bench, index: int, count: int) -> Bench:
    """The engine with the devices of one process; one GPU each, or the same CPU."""
    devices = bench.loaded.devices
    if count > 1 and len(devices) == count:
        devices = [devices[index]]
    elif count > 1 and index and devices != ["cpu"]:
        devices = []
    return replace(bench, loaded=replace(bench.loaded, devices=devices))


def _window(
    lab: Laboratory,
    notes: Notebook,
    bench: Bench,
    *,
    run: Pass,
    whole: Window,
    energy: list[dict[str, Any]],
) -> RawWindow:
    done = run.generation
    part = whole.model_copy(update={"tokens": tokens(done), "memory": done.memory})
    shared = len(done.completions) < whole.requests
    return RawWindow(
        kind=run.kind,
        index=run.index,
        start_s=run.start_s if done.completions else None,
        duration_s=done.duration_s,
        batches=done.batches,
        tokens=part.tokens,
        token_sha256=run.token_sha256,
        outcomes=outcomes_of(done),
        left_out=run.left_out,
        energy=energy,
        basis=whole.energy.basis,
        flops=_flops(lab, notes, bench, run, part, shared=shared),
        memory=done.memory,
        flags=whole.flags,
    )


def _flops(
    lab: Laboratory,
    notes: Notebook,
    bench: Bench,
    run: Pass,
    part: Window,
    *,
    shared: bool,
) -> dict[str, Any]:
    """Operations of a process; a count of all of them cannot be divided."""
    if not run.generation.completions:
        peak = ceiling(bench, lab.conditions.peaks).flops_per_s
        return {**_NOTHING, "peak_flops_per_s": peak}
    if shared and (part.flops or {}).get("method") == "measured":
        return {"reason": "counted_for_all_processes"}
    window, _ = computed(part, run, bench, lab.conditions, notes.watched)
    found = window.flops or {}
    return {name: found.get(name) for name in _FLOPS}


def _share(run: Pass, index: int, count: int) -> Pass:
    """What one of several copies did of a pass: every so-many-th request."""
    rows = run.generation.native.get("ranks")
    if count == 1 or not rows:
        return run
    whole, row = run.generation, rows[index]
    start_ns = round((row["start_s"] or 0.0) * 1e9)
    return replace(
        run,
        left_out=len(range(index, run.left_out, count)),
        generation=Generation(
            start_ns=start_ns,
            end_ns=start_ns + round(row["duration_s"] * 1e9),
            completions=whole.completions[index::count],
            batches=_slice(whole.batches, rows, index, "batches"),
            padding_tokens=row["padding_tokens"],
            memory=row["memory"],
            native={},
            work=(
                None if whole.work is None else _slice(whole.work, rows, index, "calls")
            ),
            padding_told=whole.padding_told,
            due_ns=whole.due_ns[index::count],
        ),
    )


def _slice(
    values: Sequence[Any], rows: Sequence[dict[str, Any]], index: int, key: str
) -> list[Any]:
    start = sum(row[key] for row in rows[:index])
    return list(values[start : start + rows[index][key]])
