"""Statistics over cycles, checked against scipy and numpy."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.analysis.stats import (
    CI_LEVEL,
    LEAST_LOOK,
    LOOK_LEVEL,
    MOST_LOOK,
    SEED,
    Statistics,
    cycles_needed,
    interval,
    summarise,
    t_quantile,
)

values = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=2, max_size=20)


@given(values)
def test_the_interval_is_scipys_t_interval(sample):
    """95 %, n - 1 degrees of freedom, ddof 1."""
    one = summarise(sample, "J")
    error = np.std(sample, ddof=1) / math.sqrt(len(sample))
    half = scipy.stats.t.ppf(0.975, len(sample) - 1) * error
    mean = np.mean(sample)
    assert one.ci_low == pytest.approx(mean - half, rel=1e-9, abs=1e-9)
    assert one.ci_high == pytest.approx(mean + half, rel=1e-9, abs=1e-9)
    assert (one.ci_level, one.ci_method, one.n) == (0.95, "t", len(sample))


@given(values)
def test_the_spread_is_numpys(sample):
    """Mean, extremes, median and sample standard deviation."""
    one = summarise(sample, "J")
    assert one.mean == one.value == pytest.approx(np.mean(sample))
    assert one.median == pytest.approx(np.median(sample))
    assert one.std == pytest.approx(np.std(sample, ddof=1))
    assert (one.min, one.max) == (min(sample), max(sample))


def test_the_interval_of_three_cycles_by_hand():
    """t(2) is 4.3027: three cycles have wide intervals."""
    one = summarise([10.0, 11.0, 12.0], "J")
    assert (one.mean, one.std, one.median, one.unit) == (11.0, 1.0, 11.0, "J")
    assert one.ci_high - one.mean == pytest.approx(4.302652729911275 / math.sqrt(3))
    assert one.cv == pytest.approx(1 / 11)


def test_one_cycle_has_a_value_and_no_spread():
    """An interval of one value is an invention."""
    one = summarise([5.0], "ms")
    assert (one.value, one.mean, one.min, one.max, one.median) == (5.0,) * 5
    assert one.n == 1
    spread = (one.std, one.cv, one.ci_low, one.ci_high, one.ci_level, one.ci_method)
    assert spread == (None,) * 6


def test_equal_values_have_an_interval_without_width():
    """No spread is a spread of zero, not a missing one."""
    one = summarise([2.0, 2.0, 2.0], "J")
    assert (one.std, one.cv, one.ci_low, one.ci_high) == (0.0, 0.0, 2.0, 2.0)


def test_a_mean_of_zero_has_no_variation():
    """Nothing is divided by zero."""
    assert summarise([-1.0, 1.0], "J").cv is None
    assert summarise([-2.0, -4.0], "J").cv > 0


@pytest.mark.parametrize("degrees", [1, 2, 4, 9, 100])
@pytest.mark.parametrize("level", [0.9, CI_LEVEL, 0.99])
def test_the_quantile_is_students(degrees, level):
    """Two-sided."""
    expected = scipy.stats.t.ppf((1 + level) / 2, degrees)
    assert t_quantile(degrees, level) == pytest.approx(expected)


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Of 2000 experiments with five cycles, 95 % hold the true mean."""
    draws = np.random.default_rng(1).normal(10.0, 2.0, size=(2000, 5))
    found = [summarise(list(cycles), "J") for cycles in draws]
    covered = np.mean([one.ci_low <= 10.0 <= one.ci_high for one in found])
    assert 0.935 < covered < 0.965


@pytest.mark.parametrize(
    ("ci", "method"), [("bootstrap", "percentile"), ("bca", "BCa")]
)
def test_a_bootstrapped_interval_is_scipys(ci, method):
    """With the seed that is documented, and named."""
    sample = [1.0, 1.2, 0.9, 1.7, 1.1, 1.0]
    expected = scipy.stats.bootstrap(
        (sample,),
        np.mean,
        n_resamples=2000,
        method=method,
        random_state=np.random.default_rng(SEED),
    ).confidence_interval
    one = summarise(sample, "J", Statistics(ci=ci, resamples=2000))
    assert (one.ci_low, one.ci_high) == tuple(expected)
    assert (one.ci_level, one.ci_method) == (0.95, ci)


@pytest.mark.parametrize("ci", ["t", "bootstrap", "bca"])
def test_every_interval_has_no_width_for_equal_values_and_none_for_one(ci):
    """Nor does any of them make an interval up."""
    asked = Statistics(ci=ci)
    assert interval([2.0, 2.0, 2.0], asked) == (2.0, 2.0)
    assert interval([2.0], asked) == (None, None)
    assert summarise([2.0], "J", asked).ci_method is None


@pytest.mark.parametrize(
    ("ci", "cycles", "share"), [("bootstrap", 3, 0.73), ("bca", 10, 0.89)]
)
def test_the_bootstrap_covers_what_the_page_says(ci, cycles, share):
    """Too little, of few cycles. `benchmarks/audit/coverage.py` has the whole table."""
    draws = np.random.default_rng(4).normal(10.0, 1.0, size=(400, cycles))
    found = [interval(list(one), Statistics(ci=ci)) for one in draws]
    covered = np.mean([low <= 10.0 <= high for low, high in found])
    assert covered == pytest.approx(share, abs=0.045)


def test_intervals_that_are_looked_at_after_each_cycle_hold_together():
    """All of them at once, from the 5th cycle to the 20th, in 95 of 100 experiments."""
    draws = np.random.default_rng(6).normal(size=(20_000, MOST_LOOK))
    outside = np.zeros(len(draws), dtype=bool)
    for n in range(LEAST_LOOK, MOST_LOOK + 1):
        seen = draws[:, :n]
        half = t_quantile(n - 1, LOOK_LEVEL) * seen.std(axis=1, ddof=1) / math.sqrt(n)
        outside |= abs(seen.mean(axis=1)) > half
    assert outside.mean() == pytest.approx(0.05, abs=0.005)


def test_a_repeated_interval_is_wider_than_a_single_one_and_says_so():
    """By the quantile of one look of many."""
    sample = [1.0, 1.1, 1.2, 0.9, 1.0]
    once, often = (
        summarise(sample, "J"),
        summarise(sample, "J", Statistics(ci="repeated")),
    )
    ratio = t_quantile(4, LOOK_LEVEL) / t_quantile(4, CI_LEVEL)
    assert often.ci_high - often.mean == pytest.approx(
        ratio * (once.ci_high - once.mean)
    )
    assert (often.ci_method, often.ci_level) == ("repeated", 0.95)


@pytest.mark.parametrize(
    ("cv", "precision", "cycles"), [(0.0, 0.01, 5), (0.01, 0.02, 6), (0.5, 0.001, None)]
)
def test_cycles_that_a_precision_takes(cv, precision, cycles):
    """The fewest of which the interval is narrow enough, at the least five."""
    assert cycles_needed(cv, precision) == cycles
    if cycles and cv:
        half = t_quantile(cycles - 1, LOOK_LEVEL) * cv / math.sqrt(cycles)
        before = t_quantile(cycles - 2, LOOK_LEVEL) * cv / math.sqrt(cycles - 1)
        assert half <= precision < before
