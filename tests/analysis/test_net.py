"""Net energy: what is removed, how sure the rest is, and when there is none."""

from math import hypot

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.analysis.net import (
    IdleWatts,
    drift_pct,
    half_range_w,
    is_shared,
    net_energy,
    pooled_uncertainty_j,
    why_not_net,
)

watts = st.floats(0, 1e3)


def net(gross_j, idle_w, duration_s, uncertainty_j=0.0, **idle):
    return net_energy(
        gross_j, uncertainty_j, duration_s, IdleWatts(power_w=idle_w, **idle)
    )


def test_net_energy_is_gross_less_idle_and_never_below_zero():
    """100 W for 3 s are 300 J."""
    assert net(500.0, 100.0, 3.0).energy_j == 200.0
    assert net(500.0, 0.0, 3.0).energy_j == 500.0
    clamped = net(200.0, 100.0, 3.0)
    assert (clamped.energy_j, clamped.share, clamped.clamped) == (0.0, 1.0, True)


def test_a_quarter_of_idle_power_is_a_quarter_of_the_energy():
    """Of 400 W with 100 W idle, three quarters are net."""
    found = net(400.0 * 7, 100.0, 7.0)
    assert found.energy_j == pytest.approx(0.75 * 400 * 7)
    assert found.share == pytest.approx(0.25)
    assert not found.clamped


@given(st.floats(0, 1e7), watts, st.floats(0, 1e4))
def test_net_energy_lies_between_nothing_and_gross(gross_j, idle_w, duration_s):
    """Whatever the idle power."""
    assert 0.0 <= net(gross_j, idle_w, duration_s).energy_j <= gross_j


def test_half_widths_of_gross_reading_and_state_join_in_quadrature():
    """An idle reading of 5 s that errs by 6 J, over 10 s, errs by 12 J."""
    found = net(
        3000.0, 100.0, 10.0, uncertainty_j=9.0, uncertainty_w=6 / 5, spread_w=2.0
    )
    assert found.uncertainty_j == pytest.approx(hypot(9.0, 10 / 5 * 6, 10 * 2.0))
    assert net(3000.0, 100.0, 10.0, uncertainty_j=None).uncertainty_j is None


@given(st.floats(0.1, 1e4), st.floats(0, 100), watts, watts)
def test_net_is_never_surer_than_gross(duration_s, gross_u_j, idle_u_w, spread_w):
    """Subtracting adds what is not known of idle power."""
    found = net(
        1e6,
        10.0,
        duration_s,
        uncertainty_j=gross_u_j,
        uncertainty_w=idle_u_w,
        spread_w=spread_w,
    )
    assert found.uncertainty_j >= gross_u_j


def test_windows_share_what_is_not_known_of_idle_power():
    """Ten windows of 1 s are as sure as one of 10 s: the reading is the same."""
    one = IdleWatts(power_w=100.0, uncertainty_w=3.0, spread_w=4.0)
    each = net_energy(300.0, 2.0, 1.0, one)
    gross_j = 2.0 * 10**0.5
    together = net_energy(3000.0, gross_j, 10.0, one)
    found = pooled_uncertainty_j([(2.0, each.uncertainty_j)] * 10)
    assert found == pytest.approx(together.uncertainty_j)


def test_states_41_watts_apart_are_half_of_that_on_either_side():
    """A bare GPU and one with a context; one reading has no range."""
    assert half_range_w([72.0, 113.0, 80.0]) == 20.5
    assert half_range_w([72.0]) == 0.0


def test_drift_is_the_change_in_percent_of_the_first():
    """Upwards is positive; nothing divides by nothing."""
    assert drift_pct(100.0, 103.0) == pytest.approx(3.0)
    assert drift_pct(100.0, 99.0) == pytest.approx(-1.0)
    assert drift_pct(0.0, 1.0) is None


FINE = {
    "flags": ["power_capped"],
    "idle_flags": ["ring_gap"],
    "drift_pct": 1.9,
    "drift_limit_pct": 2.0,
    "measured_s": 1.0,
}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"drift_pct": None}, None),
        ({"drift_pct": -2.1}, "idle_drift: -2.1 %, the limit is 2 %"),
        ({"drift_pct": 2.1, "drift_limit_pct": 5.0}, None),
        ({"measured_s": 0.99}, "short_cycle: measured for 0.99 s"),
        ({"idle_flags": ["mig_whole_gpu"]}, "mig_slice"),
        ({"flags": ["foreign_process"]}, "shared_gpu"),
        ({"idle_flags": ["gpu_busy_at_idle"]}, "busy_at_idle"),
        ({"flags": ["foreign_process"], "force": True}, None),
        ({"idle_flags": ["mig_whole_gpu"], "force": True, "drift_pct": 9.0}, "idle_dr"),
        ({"idle_flags": ["counter_ring_disagree"]}, "idle_counter_ring_disagree"),
        ({"flags": ["counter_ring_disagree"]}, None),
    ],
)
def test_why_idle_power_may_not_be_subtracted(changed, reason):
    """Each rule by its name; force is for a shared GPU alone."""
    found = why_not_net(**{**FINE, **changed})
    assert found == reason if reason is None else found.startswith(reason)


def test_flags_that_tell_of_others_on_the_gpu():
    """They are what can be forced."""
    assert is_shared({"mig_whole_gpu", "ring_gap"})
    assert not is_shared({"ring_gap"})
