"""The plan on disk, and what of it can be gone on with."""

import json
import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.errors import ConfigError, StoreError
from pytest_lem.schedule.planfile import (
    BrokenPlan,
    PlanBook,
    PlanFile,
    PlannedCycle,
    PlannedExperiment,
    from_text,
    to_text,
)
from pytest_lem.schedule.resuming import PlanLock, choose, differences, settle


def plan_of(experiments=2, cycles=2, **values):
    """A plan whose cycle is the outermost loop."""
    names = [f"t.py::test[{k}]" for k in range(experiments)]
    members = [
        PlannedExperiment(
            experiment_id=name,
            identity=f"{k:016}",
            backend="fake",
            where="fake",
            effort={"cycles": cycles},
            config={"batch_size": k},
        )
        for k, name in enumerate(names)
    ]
    steps = [
        PlannedCycle(experiment_id=n, cycle=c) for c in range(cycles) for n in names
    ]
    told = {
        "session": "s",
        "started_at": "2026-01-31T12:00:00+00:00",
        "plugin_version": "0",
        "conditions": {"order": "interleaved"},
    }
    return PlanFile(**told | values, experiments=members, steps=steps)


def test_changes_are_on_the_disk_one_by_one(tmp_path):
    """The log tells what the plan does not yet; a torn last line never happened."""
    book, plan = PlanBook(tmp_path / "s"), plan_of()
    book.write(plan)
    book.note(plan, "step", 0, status="running", tries=1)
    book.note(plan, "experiment", 1, reports=[{"outcome": "passed"}])
    assert book.read() == plan
    with book.log.open("ab") as log:
        log.write(b'{"of":"step","at":1,"is":{"sta')
    assert book.read() == plan
    assert json.loads(book.path.read_text())["plan"]["steps"][0]["tries"] == 0
    book.write(plan)
    assert not book.log.exists()
    assert book.read() == plan


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda text: text[:300], "no JSON"),
        (lambda text: "[]", "parts of a plan"),
        (lambda text: text.replace('"pending"', '"skipped"', 1), "another hash"),
        (lambda text: text.replace('"version":1', '"version":9'), "of version 9"),
    ],
)
def test_a_plan_that_cannot_be_believed_says_why(damage, why):
    """Cut, emptied, edited, or of another kind."""
    with pytest.raises(BrokenPlan, match=why):
        from_text(damage(to_text(plan_of())))


@pytest.mark.parametrize(
    "line",
    ["{}", "nonsense", '{"of":"step","at":9,"is":{}}', '{"of":1,"at":0,"is":{}}'],
)
def test_a_log_that_cannot_be_believed_says_why(tmp_path, line):
    """Every whole line has to be a change of something in the plan."""
    book = PlanBook(tmp_path)
    book.write(plan_of())
    book.log.write_text(f"{line}\n")
    with pytest.raises(BrokenPlan, match=r"plan\.log"):
        book.read()


def test_a_plan_that_is_gone_is_broken(tmp_path):
    """A session whose plan nobody finds cannot be gone on with as it is."""
    with pytest.raises(BrokenPlan, match="missing"):
        PlanBook(tmp_path).read()


@given(
    statuses=st.lists(
        st.sampled_from(["pending", "running", "completed", "failed", "interrupted"]),
        min_size=6,
        max_size=6,
    ),
    lost=st.sets(st.integers(0, 5)),
)
def test_what_is_left_keeps_its_order(statuses, lost):
    """All but what is completed and whole is left, in the order of the plan."""
    plan = plan_of(experiments=2, cycles=3)
    for k, (step, status) in enumerate(zip(plan.steps, statuses, strict=True)):
        step.status = status
        step.results = [str(k)] if status == "completed" else []
    for one in plan.experiments:
        one.reports = [{"outcome": "passed"}]
    amiss = settle(plan, {str(k) for k in range(6) if k not in lost})
    done = [k for k in range(6) if statuses[k] == "completed" and k not in lost]
    assert [k for k, s in enumerate(plan.steps) if s.status == "completed"] == done
    assert len(amiss) == statuses.count("completed") - len(done)
    assert not {s.status for s in plan.steps} & {"running"}
    assert all(s.results == [] for s in plan.steps if s.status != "completed")
    for one in plan.experiments:
        mine = [s.status for s in plan.steps if s.experiment_id == one.experiment_id]
        assert bool(one.reports) == ({*mine} == {"completed"})


def test_a_test_that_was_never_reported_runs_its_last_cycle_again():
    """Its assertions are still to be judged."""
    plan = plan_of(experiments=1)
    for step in plan.steps:
        step.status = "completed"
    settle(plan, set())
    assert [one.status for one in plan.steps] == ["completed", "pending"]


def test_differences_name_what_differs():
    """Experiments, settings, effort, engines, conditions; else the order."""
    before, now = plan_of(3), plan_of(2, conditions={"order": "reversed"})
    now.experiments[0].identity, now.experiments[0].config = "f" * 16, {}
    now.experiments[1].where = "fake 2"
    assert differences(before, now) == [
        "order: reversed, was interleaved",
        "t.py::test[2]: is missing now",
        "t.py::test[0]: batch_size the default, was 0",
        "t.py::test[1]: engine fake 2, was fake",
    ]
    turned = plan_of()
    turned.steps.reverse()
    assert differences(plan_of(), turned) == ["the order of the cycles is another"]
    assert differences(plan_of(), plan_of()) == []
    many = differences(plan_of(40), plan_of(1))
    assert len(many) == 13
    assert many[-1] == "and 27 more"


def test_the_last_unfinished_session_is_chosen(tmp_path):
    """The newest with something left; a broken plan is one."""
    with pytest.raises(ConfigError, match="unfinished"):
        choose(tmp_path, "last")
    root = tmp_path / ".lem" / "sessions"
    for name in ("1", "2", "3"):
        PlanBook(root / name).write(plan_of(session=name))
    done = plan_of(session="3", ended=True)
    for step in done.steps:
        step.status = "completed"
    PlanBook(root / "3").write(done)
    assert choose(tmp_path, "last") == root / "2"
    assert choose(tmp_path, "3") == root / "3"
    (root / "3" / "plan.json").write_text("{")
    assert choose(tmp_path, "last") == root / "3"


def test_a_plan_that_cannot_be_written_says_where(tmp_path):
    """In one line, with the system's reason."""
    (tmp_path / "s").write_text("a file")
    with pytest.raises(StoreError, match=r"plan\.json cannot be written"):
        PlanBook(tmp_path / "s").write(plan_of())


def test_two_sessions_never_run_one_plan(tmp_path):
    """The second is told who has it, until that one has ended, however it did."""
    ready, told = os.pipe()
    holder = os.fork()
    if holder == 0:
        PlanLock(tmp_path).take()
        os.write(told, b"!")
        signal.pause()
    os.read(ready, 1)
    with pytest.raises(ConfigError, match=f"is being run by process {holder}"):
        PlanLock(tmp_path).take()
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    lock = PlanLock(tmp_path)
    lock.take()
    lock.release()
