"""Reports made by hand: an experiment, its value in each cycle, and what is changed."""

import pytest

from benchmarks.perf.blank import record
from pytest_lem.analysis.stats import STANDARD
from pytest_lem.records.assemble import experiment_record
from pytest_lem.records.extended import UNREAD
from pytest_lem.records.record import Cycle
from pytest_lem.spec.effort import Effort
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.experiment import Experiment
from pytest_lem.spec.workload import Workload

ENERGY = "energy_per_output_token_j"
GPU = {"name": "H100", "driver_version": "580.1", "power_limit_w": 700.0}


def cycle(index, value, metric, flags, status, changed):
    """A cycle of one window of 100 tokens, with energy from a GPU's counter."""
    energy = {
        **dict.fromkeys(("gross_j", "net_j", "uncertainty_j", "cpu_j", "dram_j")),
        "gross_j": 100 * (value or 0.0),
        "per_device": [],
        "scope": ["gpu"],
        "method": "counter_ring",
        "meter": "nvml",
        "basis": "measured",
    }
    window = {
        **dict.fromkeys(("latency", "phases", "flops", "thermal")),
        "kind": "energy",
        "index": 0,
        "start_s": 1.0,
        "duration_s": 2.0,
        "inference_s": 2.0,
        "requests": 4,
        "batches": [4],
        "tokens": {"input": 300, "output": 100, "padding": 0},
        "token_sha256": "f00",
        "energy": energy,
        "throughput": {},
        "memory": {},
        "flags": [],
    }
    whole = {
        **dict.fromkeys(("error", "warmup", "idle")),
        **{key: {} for key in ("worker", "load", "native", "timing", "nulls")},
        "index": index,
        "status": status,
        "started_at": "2026-01-01T00:00:00.000+00:00",
        "ended_at": "2026-01-01T00:00:01.000+00:00",
        "engine": {"name": "vllm", "version": "0.30.0"},
        "effective": {"precision": "float16"},
        "model": {"revision": "abc", "weights_sha256": "ff"},
        "windows": [window],
        "metrics": {} if value is None else {metric: value},
        "prompts": {"recipe_sha256": "r"},
        "flags": flags,
    }
    return Cycle.model_validate({**whole, **changed})


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A user's cache of its own: no noise is stored but by the test."""
    monkeypatch.setenv("LEM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def make_report():
    """A report of session number `day` with these values, one for each cycle."""

    def make(
        values,
        *,
        day=1,
        name="t.py::test",
        identity="f00",
        metric=ENERGY,
        flags=(),
        failed=0,
        gpu=GPU,
        workload=None,
        **changed,
    ):
        status = ["complete"] * len(values) + ["failed"] * failed
        told = [*values, *[None] * failed]
        cycles = [
            cycle(k, value, metric, list(flags), status[k], changed)
            for k, value in enumerate(told)
        ]
        experiment = Experiment(
            id=name,
            spec=EngineSpec(backend="vllm"),
            workload=workload or Workload(),
            effort=Effort(),
            provenance={},
        )
        one = experiment_record(experiment, identity, cycles, UNREAD, STANDARD)
        return record(
            [one],
            environment={"gpu": [gpu], "cpu": {"model": "Xeon"}},
            id=f"session {day}",
            started_at=f"2026-01-{day:02}T00:00:00.000+00:00",
        )

    return make


@pytest.fixture
def reference(make_report):
    """Three sessions around 1 J/token, of two cycles each, with what a test changes."""

    def make(**changed):
        values = ([0.99, 1.0], [1.0, 1.01], [1.01, 1.02])
        return [
            make_report(pair, day=day, **changed) for day, pair in enumerate(values, 1)
        ]

    return make
