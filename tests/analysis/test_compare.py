"""Ratios of costs, with intervals on logarithms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.analysis.compare import ratio

COSTS = st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=8)


def test_a_ratio_by_hand():
    """Means 2 and 8 with two cycles each: Welch's two degrees of freedom, t 4.303."""
    found = ratio([1.0, 4.0], [4.0, 16.0])
    assert found.value == pytest.approx(4.0)
    # ln 2 is the standard error of each side, so sqrt(2) ln 2 of the difference.
    assert found.high / found.value == pytest.approx(2 ** (4.302653 * 2**0.5))
    assert found.value / found.low == pytest.approx(found.high / found.value)


def test_one_cycle_has_no_interval():
    """Nothing is known of its spread."""
    found = ratio([1.0], [2.0, 2.1])
    assert (found.low, found.high) == (None, None)


def test_equal_values_have_an_interval_of_no_width():
    """A scripted engine under constant power."""
    found = ratio([2.0, 2.0], [3.0, 3.0])
    assert (found.value, found.low, found.high) == pytest.approx((1.5, 1.5, 1.5))


@given(COSTS, COSTS)
def test_either_way_round_is_the_same_comparison(first, second):
    """The other ratio is the inverse, and so are its ends."""
    one, other = ratio(first, second), ratio(second, first)
    assert one.value * other.value == pytest.approx(1.0)
    assert one.low * other.high == pytest.approx(1.0)
    assert one.low <= one.value <= one.high
