"""Rates of false alarms: counted with their bound, and by the normal law."""

import math
import random

import pytest

from pytest_lem.analysis.alarms import at_most, by_law
from pytest_lem.analysis.gating import Question, judge, shift


def test_few_cases_only_bound_a_rate():
    """None in ten may be a quarter; the textbook's rule of three for many."""
    assert at_most(0, 10) == pytest.approx(1 - 0.05 ** (1 / 10))
    assert at_most(0, 3000) == pytest.approx(3 / 3000, rel=0.01)
    assert at_most(1, 10) == pytest.approx(0.394, abs=0.001)
    assert at_most(2, 2) == at_most(0, 0) == 1.0


def test_the_law_is_the_level_of_the_test_without_a_limit():
    """And less than that the farther the limit lies beyond the noise."""
    assert by_law(0.02, 9, 0.0, "lower") == pytest.approx(0.01, rel=0.01)
    assert by_law(0.02, 9, 0.05, "lower") > by_law(0.01, 9, 0.05, "lower")
    assert by_law(0.0, 9, 0.0, "lower") == 0.0


def test_the_law_is_what_drawn_sessions_make_of_the_rule():
    """Of 8,000 suites that did not change, seeded, at a limit that bites."""
    draw = random.Random(7)
    alarms = 0
    for _ in range(8_000):
        values = [[math.exp(draw.gauss(0, 0.03))] for _ in range(6)]
        found = shift(values[1:], values[:1])
        (answer,) = judge([Question(shift=found, better="lower", limit=0.1)])
        alarms += answer.verdict == "regression"
    expected = by_law(0.03, 5, 0.1, "lower")
    assert 0.0005 < expected < 0.009
    assert alarms / 8_000 == pytest.approx(
        expected, abs=3 * math.sqrt(expected / 8_000)
    )
