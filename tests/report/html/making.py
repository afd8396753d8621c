"""Reports made by hand, as pages show them."""

from benchmarks.perf.blank import cycle, record
from pytest_lem.records.assemble import experiment_record
from pytest_lem.report.html.view import Source
from pytest_lem.spec.effort import Effort
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.experiment import Experiment
from pytest_lem.spec.workload import Workload

ENERGY = "energy_per_output_token_j"
SPEED = "output_throughput_tps"


def experiment(name="a", *, values=(1.0, 2.0, 3.0), gate=None, **changed):
    """An experiment of one cycle for each value: joules and ten times that in speed."""
    flags = changed.pop("flags", [])
    metrics = changed.pop("metrics", None)
    backend, model = changed.pop("backend", "fake"), changed.pop("model", "tiny")
    identity = changed.pop("identity", f"{abs(hash(name)):016x}"[:16])
    cycles = [
        cycle(k, flags=flags, metrics=metrics or {ENERGY: one, SPEED: 10 * one})
        for k, one in enumerate(values)
    ]
    made = Experiment(
        id=f"t.py::{name}",
        spec=EngineSpec(backend=backend, model=model),
        workload=Workload(**changed),
        effort=Effort(),
        provenance={"backend": "cli"},
    )
    told = experiment_record(made, identity, cycles)
    return told.model_copy(update={"gate": gate} if gate else {})


def source(*experiments, session="s", day=1, environment=None):
    """The report of a session of that day."""
    begun = f"2026-01-{day:02d}T00:00:00.000+00:00"
    made = record(experiments, environment=environment, id=session, started_at=begun)
    return Source(record=made)
