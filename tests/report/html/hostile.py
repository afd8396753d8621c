"""A report whose every text wants to be more than text: markup, scripts, formulas."""

from benchmarks.perf.blank import record
from pytest_lem.records.assemble import experiment_record
from pytest_lem.records.record import Cycle, ErrorRecord
from pytest_lem.spec.effort import Effort
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.experiment import Experiment
from pytest_lem.spec.workload import Workload
from tests.store.making import cycle

ATTACKS = (
    "<script>window.attacked = 1; alert(1)</script>",
    '"><img src=x onerror="window.attacked = 2">',
    "</script><script>window.attacked = 3</script>",
    "javascript:window.attacked=4",
    "</title></style><svg onload=window.attacked=5>",
    "=cmd|'/c calc'!A1",
    "@SUM(1+1)*cmd",
    "line\u2028separator\u2029and\x00nul\x1b[31mred",
    "\u202eright-to-left\u202c\u2066isolated\u2069",
    "{{ 7 * 7 }}{% raw %}${7 * 7}`",
    "<a href='https://example.invalid/%{x}'>%{y}</a><b>bold</b>",
    "x" * 1_000_000,
)
HUGE = 1e150


def hostile():
    """The report: an experiment for each attack, which stands wherever text may."""
    return record([_experiment(k, text) for k, text in enumerate(ATTACKS)]).model_copy(
        update={"environment": {"gpu": [{"name": ATTACKS[1]}], ATTACKS[0]: ATTACKS[2]}}
    )


def _experiment(number, text):
    spec = EngineSpec(backend="fake", model="synthetic:llama-tiny")
    made = Experiment(
        id=f"t.py::{number}-{text}",
        spec=spec,
        workload=Workload(),
        effort=Effort(),
        provenance={"backend": text},
    )
    cycles = [_cycle(0, number, text), _cycle(1, number, text), _failed(2, text)]
    found = experiment_record(made, text, cycles)
    told = {**found.spec, "backend": text, "model": {"name": text, "dtype": text}}
    return found.model_copy(
        update={
            "spec": told,
            "effective": {text: [text, {"a": text}], "none": float("nan")},
            "flags": [*found.flags, text],
            "nulls": {**found.nulls, text: text},
            "gate": {"verdict": text, "reason": text, "rules": []},
            "notes": [{"parameter": text, "message": text, "severity": text}],
            "x_lab": {text: [float("inf"), text]},
        }
    )


def _cycle(index, number, text):
    metrics = {
        "energy_per_output_token_j": HUGE if number == 0 else 1.0 + number + index,
        "output_throughput_tps": 10.0 + number * index,
        "e2e_mean_ms": 0.0,
    }
    update = {
        "metrics": metrics,
        "engine": {"name": text, "version": text},
        "worker": {"python": text, text: text},
        "flags": [text],
        "nulls": {text: text},
        "stamps_path": text[:200],
        "native": {text: float("inf")},
    }
    return cycle(index).model_copy(update=update)


def _failed(index, text) -> Cycle:
    error = ErrorRecord(kind=text, type=text, message=text, detail=text)
    update = {"status": "failed", "error": error, "windows": [], "metrics": {}}
    return cycle(index).model_copy(update=update)
