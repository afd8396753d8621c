"""The gate of a session: one experiment at a time, and the suite as a whole."""

from collections import defaultdict

import pytest

from pytest_lem.front.gating import Gating
from pytest_lem.front.settings import Settings
from pytest_lem.gate.lending import stored_of
from pytest_lem.gate.shelf import store_noise
from pytest_lem.gate.side import sides
from pytest_lem.records.export import write_json

ENERGY = "energy_per_output_token_j"


@pytest.fixture
def gating_by(tmp_path):
    """The gate against these sessions, at a limit of 5 %."""

    def gating_by(sessions):
        paths = [tmp_path / f"{k}.json" for k, _ in enumerate(sessions)]
        for path, report in zip(paths, sessions, strict=True):
            write_json(report, path)
        said = {"compare": paths, "compare-fail": (f"{ENERGY}:5%",), "store": None}
        said |= {"inconclusive": "pass", "save": None}
        settings = Settings(
            values=defaultdict(bool, said), origins={"compare": "cli"}, said={}
        )
        made = Gating(settings, tmp_path)
        made.open([])
        return made

    return gating_by


@pytest.fixture
def gating(gating_by, reference):
    """The gate against three sessions."""
    return gating_by(reference())


def test_an_experiment_is_judged_as_one_of_all_that_are_planned(gating, make_report):
    """What is sure enough alone may be chance among a hundred."""
    run = make_report([1.25, 1.26], day=20)
    verdict, bad = gating.judge(run, 100)
    assert (verdict, bad) == ("inconclusive", [])
    verdict, bad = gating.judge(run, 1)
    assert (verdict, [one.limit.metric for one in bad]) == ("regression", [ENERGY])


def test_what_only_the_whole_suite_shows_is_told_late(gating, make_report):
    """Others turned out not to be questions at all; what failed is not told again."""
    run = make_report([1.25, 1.26], day=20)
    gating.judge(run, 100)
    record = gating.complete(run)
    assert record.experiments[0].gate["verdict"] == "regression"
    assert [*gating.late()] == ["t.py::test: regression, judged with the whole suite"]
    gating.judge(run, 1)
    assert [*gating.late()] == []


def test_noise_of_this_machine_stands_in_for_sessions(
    gating_by, make_report, reference
):
    """One session is enough of a reference where `lem aa` stored its noise."""
    run, old = make_report([1.25, 1.25], day=20), reference()
    assert gating_by(old[:1]).judge(run, 1)[0] == "inconclusive"
    store_noise([stored_of([side for one in old for side in sides(one)], ENERGY)])
    gating = gating_by(old[:1])
    assert gating.judge(run, 1)[0] == "regression"
    (rule,) = gating.complete(run).experiments[0].gate["rules"]
    assert rule["noise"].startswith("noise of 3 sessions stored 2026-01-03")
