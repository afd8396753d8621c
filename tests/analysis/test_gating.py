"""The gate's rule on drawn sessions: how seldom it is wrong, and what it sees.

Windows, cycles and sessions vary by 1, 1 and 2 %. The tables of the page on gates are
drawn by `benchmarks/audit/gate_power.py`.
"""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.analysis.gating import Question, alternating, holm, judge, noise, shift

CHANCES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12)


def drawn(rng, sessions, change=0.0):
    """The five cycles of three windows of so many sessions."""
    values = rng.normal(0.0, 0.02, size=(sessions, 1, 1))
    values = values + rng.normal(0.0, 0.01, size=(sessions, 5, 1))
    values = values + rng.normal(0.0, 0.01, size=(sessions, 5, 3))
    return ((1 + change) * np.exp(values).mean(axis=2)).tolist()


def questions(count, sizes, limit, change=0.0, *, in_turn=False):
    """So many tests whose runs cost so much more."""
    rng = np.random.default_rng(7)
    for _ in range(count):
        old, new = drawn(rng, sizes[0]), drawn(rng, sizes[1], change)
        found = shift(old, new, alternating=in_turn)
        yield Question(shift=found, better="lower", limit=limit)


def share(asked):
    """The share of tests, each judged alone, that are called regressions."""
    verdicts = [judge([one])[0].verdict for one in asked]
    return verdicts.count("regression") / len(verdicts)


@pytest.mark.parametrize(
    ("sizes", "in_turn"), [((3, 1), False), ((10, 1), False), ((5, 5), True)]
)
def test_nothing_changed_is_a_regression_in_one_of_a_hundred_at_most(sizes, in_turn):
    """Even where any change at all is beyond the limit."""
    assert share(questions(1500, sizes, 0.0, in_turn=in_turn)) <= 0.015
    assert share(questions(500, sizes, 0.05, in_turn=in_turn)) <= 0.01


def test_a_suite_of_twenty_is_red_by_chance_in_one_of_twenty_at_most():
    """Holm looks at all of it; with a limit of 5 % it is seldom red at all."""
    drawn = list(questions(3000, (10, 1), 0.05))
    suites = [judge(drawn[k : k + 20]) for k in range(0, 3000, 20)]
    red = [any(one.verdict == "regression" for one in suite) for suite in suites]
    assert np.mean(red) <= 0.05


def test_a_tenth_more_is_seen_with_ten_sessions():
    """In nine of ten tests at least, at a limit of 5 %."""
    assert share(questions(2000, (10, 1), 0.05, 0.10)) >= 0.9


def test_a_twentieth_more_is_seen_by_five_and_five_in_turn():
    """As often as the page says, at a limit of 2 %."""
    found = share(questions(600, (5, 5), 0.02, 0.05, in_turn=True))
    assert found == pytest.approx(0.73, abs=0.06)


def test_the_interval_is_that_of_a_further_session():
    """By hand: three sessions, and the one-sided 99 % of t with two degrees."""
    found = shift([[1.0], [math.e], [math.e**2]], [[math.e**3]])
    error = math.sqrt(1 + 1 / 3)
    width = scipy.stats.t.ppf(0.99, 2) * error
    assert math.log(found.ratio) == pytest.approx(2.0)
    assert math.log(found.low) == pytest.approx(2.0 - width)
    assert math.log(found.visible) == pytest.approx(width)
    assert found.p_above == pytest.approx(scipy.stats.t.sf(2 / error, 2))
    assert found.p_above + found.p_below == pytest.approx(1.0)


def test_a_session_counts_once_however_many_cycles_it_has():
    """Cycles of a session share its day."""
    few = shift([[1.0], [1.1], [1.2]], [[1.3]])
    many = shift([[1.0] * 9, [1.1], [1.2] * 5], [[1.3] * 7])
    assert few.p_above == pytest.approx(many.p_above)


def test_too_few_sessions_tell_nothing():
    """Two of the reference, or of either side in turn; noise that is known helps."""
    two, three = [[1.0], [1.1]], [[1.0], [1.1], [1.2]]
    assert shift(two, three) is None
    assert shift(two, three, alternating=True) is None
    assert noise(two) is None
    assert shift(two, [[1.5]], known=noise(three)).rule == "stored_noise"
    assert shift(three, [[1.5]], known=noise(three)).rule == "prediction_interval"
    (answer,) = judge([Question(shift=None, better="lower", limit=0.05)])
    assert (answer.verdict, answer.improved) == ("inconclusive", False)


def test_sessions_without_spread_are_told_by_their_difference():
    """Those of a script."""
    same = [[2.0]] * 3
    for cost, verdict in ((2.0, "pass"), (2.05, "pass"), (2.2, "regression")):
        asked = Question(shift=shift(same, [[cost]]), better="lower", limit=0.05)
        assert judge([asked])[0].verdict == verdict


def test_holm_by_hand():
    """The smallest times four, the next times three, never below one before."""
    found = holm([0.01, 0.04, 0.03, 0.005])
    assert found == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.01], among=4) == pytest.approx([0.04])


@given(CHANCES)
def test_holm_lies_between_each_alone_and_bonferroni(chances):
    """And keeps their order."""
    found = holm(chances)
    for p, adjusted in zip(chances, found, strict=True):
        assert p <= adjusted <= min(1.0, len(chances) * p)
    order = sorted(range(len(chances)), key=chances.__getitem__)
    assert sorted(found) == [found[k] for k in order]


@pytest.mark.parametrize(
    ("sides", "in_turn"),
    [
        ("ABABAB", True),
        ("ABBAAB", True),
        ("BAABBA", True),
        ("AAABBB", False),
        ("ABABBBA", False),
        ("ABAB", False),
    ],
)
def test_sessions_alternate_where_never_three_of_a_side_follow(sides, in_turn):
    """And there are three of each."""
    times = {side: [k for k, one in enumerate(sides) if one == side] for side in "AB"}
    assert alternating(times["A"], times["B"]) is in_turn
