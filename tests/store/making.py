"""Reports made by hand, and a process that writes some."""

import multiprocessing
from pathlib import Path

from benchmarks.perf.blank import record
from pytest_lem.records.assemble import experiment_record
from pytest_lem.records.record import Cycle
from pytest_lem.spec.effort import Effort
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.experiment import Experiment
from pytest_lem.spec.workload import Workload
from pytest_lem.store.opening import open_store
from pytest_lem.store.place import parse_place

SPEED = "output_throughput_tps"


def window(index, rows=0):
    """A window of 2 s; `rows` requests are told one by one."""
    requests = [{"request": k, "energy_attributed_j": k / 7} for k in range(rows)]
    energy = dict.fromkeys(("net_j", "uncertainty_j", "cpu_j", "dram_j"))
    nothing = ("latency", "phases", "flops", "thermal")
    return {
        **dict.fromkeys(nothing),
        "kind": "energy",
        "index": index,
        "start_s": 10.0 + index,
        "duration_s": 2.0,
        "inference_s": 2.0,
        "requests": 4,
        "batches": [4] * rows,
        "tokens": {"input": 300, "output": 100, "padding": 0},
        "token_sha256": "f00",
        "energy": {
            **energy,
            "gross_j": 500.1,
            "per_device": [],
            "scope": ["gpu"],
            "method": "counter_interpolated",
            "meter": "nvml",
            "basis": "measured",
        },
        "throughput": {"output_tps": 50.0, "mode": "batch"},
        "memory": {"inference_peak_mb": None},
        "flags": [],
        "attribution": {"requests": requests, "nulls": {}} if rows else None,
        "x_lab": {"room": "4 \N{MICRO SIGN}"},
    }


def cycle(index=0, *, day="2026-01-01", status="complete", rows=0, speed=50.0):
    """A cycle of that day with two windows."""
    groups = ("worker", "effective", "native", "timing", "prompts", "nulls")
    return Cycle.model_validate(
        {
            **{name: {} for name in groups},
            "index": index,
            "status": status,
            "error": None,
            "started_at": f"{day}T01:00:0{index % 10}.250+01:00",
            "ended_at": f"{day}T01:00:09.000+01:00",
            "engine": {"name": "fake", "version": "1"},
            "model": {"name": "m", "synthetic_weights": True},
            "load": {"duration_s": 1.0, "energy_j": None},
            "warmup": None,
            "idle": None,
            "windows": [window(k, rows) for k in range(2)],
            "metrics": {SPEED: speed + index},
            "flags": [],
        }
    )


def report(
    session="s",
    names=("t.py::a",),
    *,
    cycles=None,
    day="2026-01-01",
    backend="fake",
    model="synthetic:llama-tiny",
    identity="0123456789abcdef",
    gpu="GPU X",
):
    """A report of one session, with the same cycles of each experiment."""
    ran = [cycle(0, day=day), cycle(1, day=day)] if cycles is None else cycles
    experiments = [
        Experiment(
            id=name,
            spec=EngineSpec(backend=backend, model=model),
            workload=Workload(),
            effort=Effort(),
            provenance={"backend": "cli"},
        )
        for name in names
    ]
    return record(
        [experiment_record(one, identity, ran) for one in experiments],
        environment={"gpu": [{"name": gpu, "driver_version": "570"}]},
        id=session,
        started_at=f"{day}T00:59:00.000+01:00",
    )


def write(where, count, name, said):
    """Write that many records, and say so of each in a file."""
    store = open_store(parse_place(where, Path.cwd()), create=True)
    with Path(said).open("a") as file:
        for k in range(count):
            store.put(report(f"{name}-{k}", cycles=[cycle(rows=70, speed=float(k))]))
            file.write(f"{name}-{k}\n")
            file.flush()


def writer(where, count, name, said):
    """A process of its own that writes; it need not import what all of them do."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["tests.store.making", "pytest_lem.store.store"])
    one = made.Process(target=write, args=(where, count, name, str(said)))
    one.start()
    return one
