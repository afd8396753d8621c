"""Records made by hand, with the metrics that a test is about."""

import pytest

from benchmarks.perf.blank import record
from pytest_lem.analysis.stats import STANDARD
from pytest_lem.records.assemble import experiment_record
from pytest_lem.records.extended import UNREAD
from pytest_lem.records.record import Cycle, Window
from pytest_lem.spec.effort import Effort
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.experiment import Experiment
from pytest_lem.spec.workload import Workload


@pytest.fixture
def make_window():
    """A window of 2 s, 300 tokens in and 100 out, with what the test changes."""

    def make(**changed):
        energy = {
            "gross_j": 500.0,
            "net_j": None,
            "uncertainty_j": 3.0,
            "cpu_j": None,
            "dram_j": None,
            "per_device": [],
            "scope": ["gpu"],
            "method": "counter_interpolated",
            "meter": "nvml",
            "basis": "measured",
        }
        values = {
            "kind": "energy",
            "index": 0,
            "start_s": 10.0,
            "duration_s": 2.0,
            "inference_s": 2.0,
            "requests": 4,
            "batches": [4],
            "tokens": {"input": 300, "output": 100, "padding": 0},
            "token_sha256": "f00",
            "energy": energy,
            "throughput": {"output_tps": 50.0, "mode": "batch"},
            "latency": None,
            "phases": None,
            "flops": None,
            "thermal": None,
            "memory": {"inference_peak_mb": None},
            "flags": [],
        }
        return Window.model_validate({**values, **changed})

    return make


@pytest.fixture
def make_cycle():
    """A complete cycle without windows; keywords that are no field are metrics."""

    def make(index=0, **changed):
        values = {
            "index": index,
            "status": "complete",
            "error": None,
            "started_at": "2026-01-01T00:00:00.000+00:00",
            "ended_at": "2026-01-01T00:00:01.000+00:00",
            "worker": {},
            "engine": {"name": "fake", "version": "1"},
            "effective": {},
            "model": {},
            "load": {"duration_s": 1.0, "energy_j": None},
            "warmup": None,
            "idle": None,
            "native": {},
            "latency": None,
            "windows": [],
            "metrics": {},
            "timing": {"tokenise_s": None},
            "machine": {},
            "prompts": {},
            "flags": [],
            "nulls": {},
        }
        metrics = {k: v for k, v in changed.items() if k not in values}
        given = {k: v for k, v in changed.items() if k in values}
        return Cycle.model_validate({**values, "metrics": metrics, **given})

    return make


@pytest.fixture
def make_record():
    """A report of one experiment with the cycles given."""

    def make(
        cycles,
        *,
        environment=None,
        name="t.py::test",
        residue=UNREAD,
        asked=STANDARD,
    ):
        experiment = Experiment(
            id=name,
            spec=EngineSpec(backend="fake"),
            workload=Workload(),
            effort=Effort(),
            provenance={"backend": "cli"},
        )
        return record(
            [experiment_record(experiment, "0123456789abcdef", cycles, residue, asked)],
            environment=environment,
        )

    return make
