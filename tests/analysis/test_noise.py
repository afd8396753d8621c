"""Levels of spread, and order that shows in values, against drawn truth."""

import numpy as np
import pytest

from pytest_lem.analysis.noise import autocorrelated, drifts, levels

WINDOW, CYCLE, SESSION = 1.0, 2.0, 4.0


@pytest.fixture(scope="module")
def drawn():
    """Three windows in each of four cycles in each of 400 sessions."""
    draw = np.random.default_rng(1).normal
    sessions = draw(100.0, SESSION, size=(400, 1, 1))
    cycles = sessions + draw(0.0, CYCLE, size=(400, 4, 1))
    return (cycles + draw(0.0, WINDOW, size=(400, 4, 3))).tolist()


def test_each_level_is_told_without_the_one_below(drawn):
    """Means of few windows, and of few cycles, vary by themselves."""
    found = levels(drawn)
    assert found.within_cycle == pytest.approx(WINDOW, rel=0.05)
    assert found.between_cycles == pytest.approx(CYCLE, rel=0.07)
    assert found.between_sessions == pytest.approx(SESSION, rel=0.1)


def test_what_was_not_repeated_has_no_spread(drawn):
    """One session, one cycle, one window."""
    assert levels(drawn[:1]).between_sessions is None
    one = levels([drawn[0][:1]])
    assert (one.between_cycles, one.between_sessions) == (None, None)
    assert one.within_cycle is not None
    assert levels([[[1.0]]]).within_cycle is None
    assert levels([[[1.0], [3.0]]]).between_cycles == pytest.approx(2**0.5)


def test_cycles_that_vary_as_their_windows_do_have_no_spread_of_their_own():
    """A variance is not below zero."""
    assert levels([[[1.0, 3.0], [1.5, 2.5]]]).between_cycles == 0.0


@pytest.mark.parametrize("cycles", [5, 10, 20])
def test_order_is_seen_by_chance_in_one_of_a_hundred(cycles):
    """Independent values neither drift nor follow one another."""
    values = np.random.default_rng(2).normal(1.0, 0.05, size=(3000, cycles)).tolist()
    assert np.mean([drifts(one) for one in values]) <= 0.015
    assert np.mean([autocorrelated(one) for one in values]) <= 0.015


def test_a_drift_is_seen_where_it_matters():
    """A tenth over six cycles, either way; not a thousandth, however straight."""
    noise = np.random.default_rng(3).normal(0.0, 0.005, size=6)
    line = np.linspace(1.0, 1.1, 6)
    assert drifts((line + noise).tolist())
    assert drifts((line[::-1] + noise).tolist())
    assert drifts(line.tolist())
    assert not drifts(np.linspace(1.0, 1.001, 6).tolist())
    assert not drifts(line[:4].tolist())
    assert not drifts([1.0] * 6)


def test_values_that_follow_one_another_are_seen():
    """A slow wave is; what jumps to and fro is not."""
    wave = np.sin(np.linspace(0.0, 2 * np.pi, 12)).tolist()
    assert autocorrelated(wave)
    assert not autocorrelated([1.0, 2.0] * 6)
    assert not autocorrelated(wave[:7])
    assert not autocorrelated([2.0] * 12)
