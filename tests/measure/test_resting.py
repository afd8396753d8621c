"""Waits between cycles: how long, with which engine alive, and until when at most."""

import time
from dataclasses import replace

import pytest

from pytest_lem.errors import Timeout
from pytest_lem.measure.cooling import ThermalPolicy
from pytest_lem.measure.cycle import run_cycle
from pytest_lem.meters.fake import FakeMeter
from pytest_lem.spec.gaps import Gaps
from pytest_lem.worker.client import Limits

GAPS = Gaps(experiment_s=0.02, cycle_s=0.03)


def test_gaps_are_waited_for_and_noted(make_lab, experiment, measure):
    """Between experiments the engine of both lives on; between passes there is none."""
    lab = make_lab(gaps=GAPS)
    alive = []
    lab.progress.act = lambda name: name == "gap" and alive.append(bool(lab._bench))
    first = experiment()
    second = replace(first, id="t.py::other")
    steps = [(first, 0), (second, 0), (first, 1)]
    cycles = [measure(lab, one, index) for one, index in steps]
    assert [one.timing["gap_s"] for one in cycles] == [0.0, 0.02, 0.03]
    assert alive == [True, False]
    assert len({one.worker["pid"] for one in cycles}) == 2


def test_a_floor_follows_the_warm_up(make_lab, experiment, measure):
    """It is noted; where nothing was warmed up nothing is waited for."""
    lab = make_lab(FakeMeter(50.0), idle="auto", thermal_floor_s=0.02)
    warm = measure(lab, experiment(effort={"warmup": "fixed:1"}))
    assert warm.timing["thermal_floor_s"] == 0.02
    shown = lab.progress.phases
    floor = shown.index("thermal floor")
    assert shown.index("warm-up 1") < floor < shown.index("idle")
    assert measure(lab, experiment(), 1).timing["thermal_floor_s"] is None
    assert shown.count("thermal floor") == 1


@pytest.mark.parametrize("wait", ["gap", "idle", "cooling", "thermal floor"])
def test_no_wait_outlasts_the_session(make_lab, experiment, warm, wait):
    """The cycle fails when the time is over, in whatever it waits for then."""
    slow_s = 600.0
    policy = ThermalPolicy(limit_c=20.0, timeout_s=slow_s, devices=["GPU-a"])
    lab = make_lab(
        warm(50.0),
        idle="auto",
        idle_s=slow_s if wait == "idle" else 0.05,
        gaps=Gaps(cycle_s=slow_s if wait == "gap" else 0.0),
        thermal=policy if wait == "cooling" else None,
        thermal_floor_s=slow_s if wait == "thermal floor" else 0.0,
        limits=Limits(ends_at_s=time.monotonic() + slow_s),
    )

    def end_soon(name):
        if name.startswith(wait):
            soon = replace(lab.conditions.limits, ends_at_s=time.monotonic() + 0.05)
            lab.conditions = replace(lab.conditions, limits=soon)

    lab.progress.act = end_soon
    lab._before = ("t.py::before", -1)
    kept = []
    with pytest.raises(Timeout, match="time of the session is; --lem-session-timeout"):
        run_cycle(lab, experiment(effort={"warmup": "fixed:1"}), 0, kept.append)
    assert [one.error.kind for one in kept] == ["timeout"]
