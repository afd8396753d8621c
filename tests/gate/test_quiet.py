"""Sessions in which nothing changed: their noise, and the gate's false alarms."""

import math
import random

import pytest

from pytest_lem.gate.limit import Limit
from pytest_lem.gate.quiet import MOST_SPLITS, quiet
from pytest_lem.report.quiet import lines

ENERGY = "energy_per_output_token_j"


@pytest.fixture
def sessions(make_report):
    """So many, of two cycles that differ by 1 %, and as sessions by 2 %; seeded."""

    def sessions(count, **changed):
        draw = random.Random(3)
        found = []
        for day in range(1, count + 1):
            level = draw.gauss(0, 0.02)
            values = [math.exp(level + draw.gauss(0, 0.01)) for _ in range(2)]
            found.append(make_report(values, day=day, **changed))
        return found

    return sessions


def test_each_session_is_held_against_the_others_and_halves_in_turn(sessions):
    """By the gate as it is; all halves while they are few."""
    suite = quiet(sessions(10), [Limit.parse(f"{ENERGY}:5%")])
    (one,) = suite.found
    assert (one.held_out.judged, one.in_turn.judged) == (10, 2**5)
    assert one.held_out.alarms == one.in_turn.alarms == 0
    assert one.std == pytest.approx(math.hypot(0.02, 0.01 / math.sqrt(2)), rel=0.4)
    assert one.spread.between_cycles == pytest.approx(0.01, rel=0.4)
    assert 0 < one.by_law < 0.01
    assert one.visible > 1.05
    told = one.to_json()["held_out"]
    assert told["at_most_95"] == pytest.approx(0.2589, abs=1e-4)
    assert any("in at most 25.9 %" in line for line in lines(suite, 80))
    assert {each.metric for each in suite.stored} == {ENERGY}


def test_a_session_that_lies_apart_is_a_false_alarm(make_report):
    """Without a limit, one of seven that costs a tenth more is called worse."""
    values = [1.0, 1.001, 0.999, 1.1, 1.0, 1.001, 0.999]
    days = [make_report([v, v], day=k) for k, v in enumerate(values, 1)]
    suite = quiet(days, [Limit.parse(f"{ENERGY}:5%")])
    (one,) = suite.found
    assert (one.held_out.alarms, one.held_out.judged) == (1, 7)
    assert (suite.held_out.alarms, suite.held_out.judged) == (1, 7)


def test_many_splits_are_no_more_than_enough(sessions):
    """They differ from each other."""
    suite = quiet(sessions(16), [Limit.parse(f"{ENERGY}:5%")])
    assert suite.in_turn.judged == MOST_SPLITS


def test_what_may_not_be_believed_has_no_noise(sessions):
    """Which is told; nothing is stored."""
    limits = [Limit.parse(f"{ENERGY}:5%")]
    suite = quiet(sessions(4, flags=["estimated_energy"]), limits)
    (one,) = suite.found
    assert (one.std, one.reasons) == (None, ["estimated_energy"])
    assert (suite.held_out.judged, suite.stored) == (0, [])
    told = lines(suite, 80)
    assert f"t.py::test {ENERGY}: estimated_energy" in told
    assert told[-1].startswith("false alarms are not known")
