"""Percentiles: how sure they are, and of how many values they mean something."""

import numpy as np
import pytest
from scipy import stats

from pytest_lem.analysis.percentiles import least_values, percentiles, ranks


@pytest.mark.parametrize(("percent", "least"), [(50, 7), (90, 44), (95, 90), (99, 459)])
def test_a_percentile_needs_as_many_values_as_mlperf_s_rule_asks(percent, least):
    """With nothing above the bound, at 99 % confidence."""
    assert least_values(percent) == least


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("n", [1, 5, 6, 71, 72, 368, 1000, 10**6])
def test_the_interval_s_ranks_are_the_tightest_that_the_binomial_law_allows(n, share):
    """An end leaves out at most 2.5 %, and the next value inwards would leave more."""
    below, (low, high) = stats.binom(n, share), ranks(n, share)
    if low is None:
        assert below.cdf(0) > 0.025
    else:
        assert below.cdf(low - 1) <= 0.025 + 1e-12
        assert below.cdf(low) > 0.025
    if high is None:
        assert below.cdf(n - 1) < 0.975
    else:
        assert below.cdf(high - 1) >= 0.975
        assert below.cdf(high - 2) < 0.975


def test_the_interval_holds_the_true_percentile_as_often_as_it_says():
    """Of a skew law, 2000 times; 95 % at the least, and not by much more."""
    draws = np.random.default_rng(7).lognormal(size=(2000, 200))
    truth = stats.lognorm(1).ppf([0.5, 0.95])
    found = [percentiles(np.sort(row)) for row in draws]
    for name, value in zip(("p50", "p95"), truth, strict=True):
        held = [one[f"{name}_low"] <= value <= one[f"{name}_high"] for one in found]
        assert 0.94 < np.mean(held) < 0.985


def test_an_end_beyond_all_values_is_null_with_a_reason():
    """Of 100 values nobody knows how far above them the 99th percentile may be."""
    found = percentiles(range(100))
    assert (found["p99_high"], found["nulls"]) == (None, {"p99_high": "few_values"})
    assert found["unsupported"] == ["p99"]
    assert found["p95_low"] < found["p95"] < found["p95_high"]
    assert percentiles(range(459))["unsupported"] == []
