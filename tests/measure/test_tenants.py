"""Other processes on the GPUs of a run."""

import pytest

from pytest_lem.errors import NotExclusive
from pytest_lem.measure.cycle import run_cycle
from pytest_lem.meters.fake import FakeMeter

ON_GPU = """
from dataclasses import replace
class Odd(FakeEngine):
    def load(self, spec):
        return replace(super().load(spec), devices=["cuda:0"])
"""


@pytest.fixture
def cycle(make_lab, experiment, odd_engine, driver):
    """The cycle that was kept with these processes on its GPU, and its error."""

    def cycle(*processes, engine=ON_GPU, after=(), **conditions):
        simulated = driver([300.0])
        simulated.processes = {0: list(processes)}
        entry = odd_engine(engine) if engine else None
        # A worker that is given a GPU would look for CUDA itself.
        lab = make_lab(
            FakeMeter(50.0), engine=entry, whole_gpus=("GPU-0",), **conditions
        )

        def act(phase):
            if phase == "settle":
                simulated.processes = {0: [*processes, *after]}

        lab.progress.act = act
        kept, error = [], None
        try:
            run_cycle(lab, experiment(), 0, kept.append)
        except NotExclusive as caught:
            error = caught
        return kept[0], error

    return cycle


@pytest.mark.parametrize("seen", [{"after": (1,)}, {}])
def test_another_process_is_a_flag_and_in_the_record(cycle, seen):
    """Whether it was there before the windows or only after them."""
    kept, _ = cycle(*(() if seen else (1,)), **seen)
    assert kept.status == "complete"
    assert "foreign_process" in kept.flags
    assert kept.machine["gpus"]["GPU-0"]["foreign_processes"] == [
        {"pid": 1, "kind": "compute", "name": "busy-1", "memory_mb": 2.0}
    ]


def test_an_exclusive_gpu_is_not_flagged(cycle):
    """Nobody is there, and it is known that nobody is."""
    kept, _ = cycle()
    assert not {"foreign_process", "exclusive_unknown"} & {*kept.flags}
    assert kept.machine["gpus"]["GPU-0"]["foreign_processes"] == []


@pytest.mark.parametrize("seen", [{"after": (1,)}, {}])
def test_another_process_fails_the_cycle_if_asked(cycle, seen):
    """By name, at either look."""
    kept, error = cycle(*(() if seen else (1,)), require_exclusive=True, **seen)
    assert (kept.status, kept.error.kind) == ("failed", "not_exclusive")
    assert "1 (busy-1, compute) on GPU-0" in str(error)
    assert "--lem-require-exclusive" in str(error)


def test_what_nobody_can_tell_is_flagged_if_asked(cycle, monkeypatch):
    """It is neither exclusive nor an error."""
    monkeypatch.setattr("pytest_lem.machine.processes._HOST_NAMESPACE", "elsewhere")
    kept, _ = cycle(require_exclusive=True)
    assert kept.status == "complete"
    assert "exclusive_unknown" in kept.flags
    told = kept.machine["gpus"]["GPU-0"]
    assert told["foreign_processes"] is None
    assert told["foreign_unknown"].startswith("pid_namespace")


def test_who_is_on_a_gpu_does_not_matter_to_the_cpu(cycle):
    """A cycle on the CPU is not asked for its GPU."""
    kept, _ = cycle(1, engine=None, require_exclusive=True)
    assert kept.status == "complete"
    assert kept.machine["gpus"] == {}
