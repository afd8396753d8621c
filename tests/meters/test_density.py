"""How densely a span was observed."""

import pytest

from pytest_lem.meters import Device, Reading
from pytest_lem.meters.timeline import Timeline
from pytest_lem.meters.timeline.density import Density, together


@pytest.fixture
def observed():
    """The density of a span of a counter that steps every 0.1 s, some left out."""

    def observed(start_s, end_s, missing=()):
        line = Timeline(Device(id="a", scope="gpu", name="a", refresh_s=0.0))
        for k in range(101):
            if k not in missing:
                at_s = k * 0.1
                line.add(Reading(device="a", before_s=at_s, after_s=at_s, energy_j=k))
        return line.energy(start_s, end_s)

    return observed


def test_what_was_expected_came(observed):
    """Ten steps in a second, none further apart than a period."""
    span = observed(5.05, 6.05)
    assert span.density.samples == 10
    assert span.density.expected == pytest.approx(10.0)
    assert span.density.largest_gap_s == pytest.approx(0.1)
    assert span.flags == ()


def test_what_did_not_come_is_a_flag(observed):
    """Three of ten steps in a row: over a fifth, and a gap of four periods."""
    span = observed(5.05, 6.05, missing={53, 54, 55})
    assert span.density.samples == 7
    assert span.density.largest_gap_s == pytest.approx(0.4)
    assert set(span.flags) == {"reading_gap", "sampling_loss"}


def test_a_gap_that_the_span_only_touches_is_told(observed):
    """The step that holds its end is as long as it is."""
    assert observed(4.0, 5.05, missing={51, 52}).density.largest_gap_s > 0.25


def test_of_few_points_none_can_be_missed():
    """A span of four periods tells nothing about loss."""
    few = Density(samples=1, expected=4.0, largest_gap_s=None)
    assert few.flags == ()


def test_devices_are_taken_together():
    """Points add up, the largest gap is that of any; unknown stays unknown."""
    one = Density(samples=10, expected=10.0, largest_gap_s=0.1)
    two = Density(samples=9, expected=10.0, largest_gap_s=0.3)
    both = Density(samples=19, expected=20.0, largest_gap_s=0.3)
    assert together([one, two]) == both
    new = Density(samples=1, expected=None, largest_gap_s=None)
    assert together([one, new]).expected is None
    assert together([]).samples == 0
