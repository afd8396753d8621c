"""The Pareto front against brute force, and how sure a place on it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.analysis.pareto import front, standings

VALUES = st.one_of(st.none(), st.integers(0, 6).map(float))
BETTER = ("lower", "higher", "lower")


@st.composite
def spaces(draw):
    """Points of one to three values, many of them equal, and their directions."""
    width = draw(st.integers(1, 3))
    points = draw(st.lists(st.tuples(*[VALUES] * width), max_size=30))
    return points, BETTER[:width]


def beats(one, other, better):
    """By the definition, value by value."""
    if None in one or None in other:
        return False
    gains = [
        b - a if way == "lower" else a - b
        for a, b, way in zip(one, other, better, strict=True)
    ]
    return min(gains) >= 0 and max(gains) > 0


@given(spaces())
def test_the_front_is_that_of_brute_force(space):
    """Of any number of values, with ties, and with points that miss a value."""
    points, better = space
    expected = [
        None if None in one else not any(beats(it, one, better) for it in points)
        for one in points
    ]
    assert front(points, better) == expected


@given(spaces())
def test_who_is_not_on_the_front_is_beaten_by_one_who_is(space):
    """And nobody else is said to be beaten."""
    points, better = space
    cycles = [[] if None in one else [one, one] for one in points]
    for one, found in zip(points, standings(cycles, better, resamples=2), strict=True):
        assert (found.beaten_by is None) == (found.on_front is not False)
        if found.beaten_by is not None:
            assert beats(points[found.beaten_by], one, better)


def test_equal_points_are_on_the_front_together():
    """Neither is better in anything."""
    assert front([(1.0, 2.0), (1.0, 2.0), (1.0, 3.0)], ("lower", "lower")) == [
        True,
        True,
        False,
    ]


def test_how_often_a_point_is_on_the_front_follows_from_its_cycles():
    """Alike, as good as a coin; far apart, sure; the same each time."""
    alike = [[(1.0, 0.0), (3.0, 0.0)], [(3.0, 0.0), (1.0, 0.0)]]
    far = [(9.0, 0.0), (9.1, 0.0)]
    found = standings([*alike, far], ("lower", "lower"), resamples=4000)
    # Of two resampled means 1, 2 and 3 with chances 1/4, 1/2 and 1/4: 11/16 tie or win.
    assert [one.share for one in found] == pytest.approx(
        [11 / 16, 11 / 16, 0], abs=0.03
    )
    assert found == standings([*alike, far], ("lower", "lower"), resamples=4000)


def test_values_of_a_cycle_stay_together():
    """A cycle that was slow and thrifty lends its speed to no other."""
    tied = [(1.0, 1.0), (2.0, 2.0)]
    rival = [(1.6, 1.4), (1.6, 1.4)]
    found = standings([tied, rival], ("lower", "higher"), resamples=500)
    assert found[0].share == 1


def test_of_one_cycle_nobody_knows_how_sure_its_place_is():
    """It has a place, and no share."""
    found = standings([[(1.0,)], [(2.0,), (2.1,)], []], ("lower",), resamples=50)
    assert [(one.on_front, one.share) for one in found] == [
        (True, None),
        (False, 0.0),
        (None, None),
    ]
