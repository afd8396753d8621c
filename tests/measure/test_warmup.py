"""Warm-up goes on until the last times agree, within its bounds."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.measure.warmup import settled, variation, warm_up
from pytest_lem.spec.effort import Warmup

SCRIPT = [t / 1000 for t in (100, 60, 40, 35, 34, 34, 34, 34, 34)]


def run(policy, times):
    """The outcome, and which iterations were asked for."""
    asked = []

    def iterate(k):
        asked.append(k)
        return times[min(k, len(times) - 1)]

    outcome = warm_up(Warmup.parse(policy), iterate)
    assert asked == list(range(outcome.iterations))
    return outcome


def test_the_golden_script_converges_at_the_eighth_iteration():
    """100, 60, 40, 35, then 34 ms: the window of five is calm at the eighth."""
    outcome = run("cv:0.05,window=5,min=5,max=50", SCRIPT)
    assert (outcome.converged, outcome.iterations) == (True, 8)
    assert outcome.cv == pytest.approx(0.012, abs=0.0005)


@pytest.mark.parametrize(
    ("iteration", "expected"), [(5, 0.463), (6, 0.245), (7, 0.066), (8, 0.012)]
)
def test_the_golden_variations(iteration, expected):
    """Of the five times up to each iteration."""
    found = variation(SCRIPT[iteration - 5 : iteration])
    assert found == pytest.approx(expected, abs=0.0005)


@pytest.mark.parametrize("stop", [5, 6, 7])
def test_the_golden_script_has_not_converged_before(stop):
    """Where the limit comes first, the last variation is told."""
    outcome = run(f"cv:0.05,window=5,min=5,max={stop}", SCRIPT)
    assert (outcome.converged, outcome.iterations) == (False, stop)
    assert outcome.cv == pytest.approx(variation(SCRIPT[stop - 5 : stop]))


@pytest.mark.parametrize(
    ("least", "window", "iterations"), [(5, 2, 5), (2, 5, 5), (0, 3, 3), (9, 3, 9)]
)
def test_neither_bound_nor_window_is_cut_short(least, window, iterations):
    """At least `min`, and a window that is full."""
    outcome = run(f"cv:0.05,window={window},min={least},max=50", [1.0])
    assert (outcome.converged, outcome.iterations) == (True, iterations)


def test_times_that_never_agree_end_at_the_limit():
    """Not converged is False, with the last variation."""
    outcome = run("cv:0.05,window=2,min=2,max=6", [1, 2, 1, 2, 1, 2])
    assert (outcome.converged, outcome.iterations) == (False, 6)
    assert outcome.cv == pytest.approx(1 / 3)


def test_the_threshold_itself_counts_as_calm():
    """At or under."""
    assert settled(0.05, 0.05)
    assert not settled(math.nextafter(0.05, 1), 0.05)
    assert not settled(None, 0.05)


@pytest.mark.parametrize(
    "times",
    [
        [],
        [1.0],
        [0.0, 0.0],
        [-1.0, 1.0],
        [1.0, math.nan],
        [math.inf, math.inf],
        [1.0, -math.inf],
    ],
)
def test_what_has_no_variation_has_none(times):
    """A single value, a zero mean, anything not finite: None, which never settles."""
    assert variation(times) is None


@pytest.mark.parametrize("time_s", [0.0, math.nan, math.inf])
def test_times_without_variation_never_converge(time_s):
    """An engine that reports nothing is not warm."""
    outcome = run("cv:0.05,window=2,min=2,max=9", [time_s])
    assert (outcome.converged, outcome.cv, outcome.iterations) == (False, None, 9)


def test_a_bad_time_leaves_the_window_again():
    """One NaN delays, and does not forbid."""
    outcome = run("cv:0.05,window=2,min=2,max=9", [1.0, math.nan, 1.0, 1.0])
    assert (outcome.converged, outcome.iterations) == (True, 4)


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=20))
def test_variation_is_population_deviation_over_mean(times):
    """As statistics computes it exactly."""
    expected = statistics.pstdev(times) / statistics.mean(times)
    assert variation(times) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=9), st.floats(1e-3, 1e3))
def test_variation_does_not_depend_on_the_unit(times, factor):
    """Seconds or milliseconds."""
    scaled = [t * factor for t in times]
    assert variation(scaled) == pytest.approx(variation(times), abs=1e-9)


@pytest.mark.parametrize("count", [1, 7])
def test_a_fixed_count_is_run_whatever_the_times(count):
    """Nothing was to converge: neither True nor False."""
    outcome = run(f"fixed:{count}", [1.0, 5.0, 0.1])
    assert (outcome.converged, outcome.cv, outcome.iterations) == (None, None, count)


def test_off_runs_nothing():
    """Not even once."""
    outcome = run("off", [1.0])
    assert (outcome.converged, outcome.iterations) == (None, 0)
