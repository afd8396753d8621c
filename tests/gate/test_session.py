"""The gate of a session: one experiment at a time, and the suite as a whole."""

from collections import defaultdict
from types import SimpleNamespace

import pytest

from pytest_lem.front.gating import Gating, Joined
from pytest_lem.front.settings import Settings
from pytest_lem.gate.lending import stored_of
from pytest_lem.gate.shelf import store_noise
from pytest_lem.gate.side import sides
from pytest_lem.records.export import write_json
from pytest_lem.records.long import long
from pytest_lem.spec.demands import Demands

ENERGY = "energy_per_output_token_j"


@pytest.fixture
def program():
    """A suite of one experiment, to which others are added."""
    demands = Demands(compare_fail=(f"{ENERGY}:5%",))
    return SimpleNamespace(
        demands=lambda name: demands, identities={}, entries=["t.py::test"]
    )


@pytest.fixture
def gating_by(tmp_path, program):
    """The gate against these sessions, at a limit of 5 %."""

    def gating_by(sessions):
        paths = [tmp_path / f"{k}.json" for k, _ in enumerate(sessions)]
        for path, report in zip(paths, sessions, strict=True):
            write_json(report, path)
        said = {"compare": paths, "store": None, "save": None, "gate-rule": "auto"}
        said |= {"inconclusive": "pass", "allow-incomparable": ()}
        settings = Settings(
            values=defaultdict(bool, said), origins={"compare": "cli"}, said={}
        )
        made = Gating(settings, tmp_path, program)
        made.open()
        return made

    return gating_by


@pytest.fixture
def gating(gating_by, reference):
    """The gate against three sessions."""
    return gating_by(reference())


def test_an_experiment_is_judged_as_one_of_all_that_are_planned(
    gating, make_report, program
):
    """What is sure enough alone may be chance among a hundred."""
    run = make_report([1.25, 1.26], day=20)
    program.entries *= 100
    verdict, bad = gating.judge(run)
    assert (verdict, bad) == ("inconclusive", [])
    del program.entries[1:]
    verdict, bad = gating.judge(run)
    assert (verdict, [one.limit.metric for one in bad]) == ("regression", [ENERGY])


def test_what_only_the_whole_suite_shows_is_told_late(gating, make_report, program):
    """Others turned out not to be questions at all; what failed is not told again."""
    run = make_report([1.25, 1.26], day=20)
    program.entries *= 100
    gating.judge(run)
    (one,) = gating.complete(long(run))
    assert one.gate["verdict"] == "regression"
    assert [*gating.late()] == ["t.py::test: regression, judged with the whole suite"]
    del program.entries[1:]
    gating.judge(run)
    assert [*gating.late()] == []


def test_noise_of_this_machine_stands_in_for_sessions(
    gating_by, make_report, reference
):
    """One session is enough of a reference where `lem aa` stored its noise."""
    run, old = make_report([1.25, 1.25], day=20), reference()
    assert gating_by(old[:1]).judge(run)[0] == "inconclusive"
    store_noise([stored_of([side for one in old for side in sides(one)], ENERGY)])
    gating = gating_by(old[:1])
    assert gating.judge(run)[0] == "regression"
    (rule,) = next(iter(gating.complete(long(run)))).gate["rules"]
    assert rule["noise"].startswith("noise of 3 sessions stored 2026-01-03")


def test_what_was_asked_is_known_from_what_workers_noted(gating, make_report):
    """Of an experiment that no worker judged the settings say it."""
    record = gating.noted(long(make_report([1.0, 1.0], day=20)))
    joined = Joined(record, {"compare-fail": (f"{ENERGY}:9%",)})
    assert joined.demands("t.py::test").compare_fail == (f"{ENERGY}:5.0%",)
    assert joined.demands("t.py::other").compare_fail == (f"{ENERGY}:9%",)
