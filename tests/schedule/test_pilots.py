"""What a plan is estimated to take, by what earlier sessions took."""

import pytest

from pytest_lem.schedule.pilots import estimate
from pytest_lem.schedule.planfile import (
    PlanBook,
    PlanFile,
    PlannedCycle,
    PlannedExperiment,
)
from pytest_lem.spec.gaps import Gaps


def plan_of(took=(), windows="auto", session="s"):
    """Two experiments of two cycles, of which some took seconds and joules."""
    members = [
        PlannedExperiment(
            experiment_id=name,
            identity=name * 16,
            backend="fake",
            where="fake",
            effort={"cycles": 2, "windows": windows},
            config={},
        )
        for name in "ab"
    ]
    steps = [PlannedCycle(experiment_id=n, cycle=c) for c in (0, 1) for n in "ab"]
    for step, (duration_s, energy_j) in zip(steps, took, strict=False):
        step.status, step.duration_s, step.energy_j = "completed", duration_s, energy_j
    return PlanFile(
        session=session,
        started_at="",
        plugin_version="0",
        conditions={},
        experiments=members,
        steps=steps,
    )


def test_known_work_takes_what_it_took(tmp_path):
    """The mean of its completed cycles; of other cycles a share of the guess."""
    folder = tmp_path / ".lem" / "sessions"
    PlanBook(folder / "1").write(plan_of([(10.0, 100.0)]))
    PlanBook(folder / "2").write(plan_of([(20.0, None)]))
    (folder / "3").mkdir()
    (folder / "3" / "plan.json").write_text("{")
    found = estimate(tmp_path, plan_of(), 40.0)
    assert (found.timed, found.metered) == (2, 2)
    assert found.duration_s == pytest.approx(2 * 15 + 2 * 10)
    assert found.energy_j == pytest.approx(200)


def test_other_effort_is_other_work(tmp_path):
    """And where nothing is known there are no joules, only the guess."""
    folder = tmp_path / ".lem" / "sessions"
    PlanBook(folder / "1").write(plan_of([(10.0, 100.0)], windows=3))
    found = estimate(tmp_path, plan_of(), 40.0)
    assert (found.duration_s, found.energy_j, found.timed) == (40.0, None, 0)


def test_gaps_are_those_of_now(tmp_path):
    """What is left of a b a b has one between passes and one within."""
    left = plan_of([(1.0, None)])
    gaps = Gaps(experiment_s=3.0, cycle_s=50.0)
    assert estimate(tmp_path, left, 40.0, gaps).duration_s == pytest.approx(83)


def test_only_what_is_left_counts(tmp_path):
    """What a session has done it need not do again."""
    found = estimate(tmp_path, plan_of([(1.0, None)] * 3), 40.0)
    assert found.duration_s == pytest.approx(10)
