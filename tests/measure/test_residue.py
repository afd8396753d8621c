"""GPU memory that an engine holds after its unload, on a simulated GPU."""

import os

import pytest

from pytest_lem.machine.processes import family
from pytest_lem.measure import laboratory, residue
from pytest_lem.meters.fake import FakeMeter

ENGINE = """
from dataclasses import replace
from pathlib import Path
HELD = Path(__file__).with_name("held")
class Odd(FakeEngine):
    def load(self, spec):
        HELD.touch()
        return replace(super().load(spec), devices=["cuda:0"])
    def unload(self):
        GIVE_BACK
"""


class Listed:
    """The processes that the driver lists: the worker's, while the engine holds any."""

    def __init__(self, held, strangers):
        self.held = held
        self.strangers = strangers

    def __iter__(self):
        ours = family(os.getpid()) if self.held.exists() else ()
        return iter([*self.strangers, *ours])


@pytest.fixture
def residue_of(
    make_lab, experiment, measure, odd_engine, driver, tmp_path, monkeypatch
):
    """What a cycle's engine left, and the lines about it; a process uses 2 MB."""
    # A worker that is given a GPU would look for CUDA itself.
    monkeypatch.setattr(laboratory, "environment_for", lambda gpus: {})

    def residue_of(give_back, *, limit_mb=1.0, seen=True):
        simulated = driver([300.0])
        held = tmp_path / "held" if seen else tmp_path / "nobody"
        simulated.processes = {0: Listed(held, strangers=(1,))}
        lab = make_lab(
            FakeMeter(50.0),
            engine=odd_engine(ENGINE.replace("GIVE_BACK", give_back)),
            gpus=("GPU-0",),
            residual_memory_mb=limit_mb,
        )
        one = experiment(effort={"windows": 1})
        measure(lab, one)
        lab.close()
        return lab.residue(one.spec), lab.problems

    return residue_of


def test_memory_that_is_given_back_is_no_residue(residue_of):
    """The worker still lives when it is looked at."""
    found, problems = residue_of("HELD.unlink()")
    assert (found.mb, found.reason, found.over) == (0.0, None, False)
    assert problems == []


@pytest.mark.parametrize(("limit_mb", "over"), [(1.0, True), (100.0, False)])
def test_memory_that_stays_is_told_above_the_limit(
    residue_of, monkeypatch, limit_mb, over
):
    """In one line with the ini key, and as a flag."""
    monkeypatch.setattr(residue, "PATIENCE_S", 0.0)
    found, problems = residue_of("pass", limit_mb=limit_mb)
    assert found.mb >= 2.0
    assert found.over is over
    assert [("lem_residual_memory_mb" in one) for one in problems] == [True] * over


def test_a_driver_may_take_its_time(residue_of):
    """Memory comes back some time after it was let go."""
    later = "import threading; threading.Timer(0.5, HELD.unlink).start()"
    found, problems = residue_of(later)
    assert (found.mb, problems) == (0.0, [])


def test_whom_the_driver_does_not_see_left_an_unknown_amount(residue_of):
    """As in a container, where its numbers are others: null, not zero."""
    found, problems = residue_of("pass", seen=False)
    assert (found.mb, found.reason) == (None, "process_not_seen_by_driver")
    assert problems == []


def test_an_engine_on_the_cpu_has_none(make_lab, experiment, measure):
    """Nothing of it is a GPU's."""
    lab = make_lab(FakeMeter(50.0))
    one = experiment(effort={"windows": 1})
    measure(lab, one)
    lab.close()
    assert lab.residue(one.spec).reason == "no_device_memory"
