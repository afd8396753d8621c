"""Spearman's correlation against scipy's."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test, spearmanr

from pytest_lem.analysis.correlation import EXACT_UP_TO, spearman

PAIR = st.tuples(st.integers(0, 5), st.floats(-9, 9).map(lambda x: round(x, 1)))


def columns(pairs):
    first, second = zip(*pairs, strict=True)
    assume(len({*first}) > 1 and len({*second}) > 1)
    return first, second


@settings(max_examples=40)
@given(st.lists(PAIR, min_size=EXACT_UP_TO + 1, max_size=40))
def test_of_many_it_is_scipy_s(pairs):
    """Rho and p, with ties."""
    first, second = columns(pairs)
    found, theirs = spearman(first, second), spearmanr(first, second)
    assert (found.rho, found.p) == pytest.approx((theirs.statistic, theirs.pvalue))
    assert (found.n, found.method) == (len(pairs), "t")


@settings(max_examples=12)
@given(st.lists(PAIR, min_size=4, max_size=5))
def test_of_few_it_is_scipy_s_exact_test(pairs):
    """By all orders of the statistic itself, as scipy's page on it advises."""
    first, second = columns(pairs)

    def rho(values):
        return spearmanr(values, second).statistic

    theirs = permutation_test(
        (first,), rho, permutation_type="pairings", n_resamples=np.inf
    )
    found = spearman(first, second)
    assert (found.rho, found.method) == (pytest.approx(theirs.statistic), "exact")
    assert found.p == pytest.approx(theirs.pvalue)


def test_an_order_and_its_reverse_are_as_sure_as_few_pairs_can_be():
    """Two of 24 orders are so clear: nothing over four experiments is significant."""
    assert spearman([1, 2, 3, 4], [5, 6, 7, 8]).p == pytest.approx(2 / 24)
    assert spearman([1, 2, 3, 4], [8, 7, 6, 5]).rho == pytest.approx(-1)


def test_too_few_and_constant_values_have_no_correlation():
    """None, and not 0."""
    assert spearman([1, 2, 3], [1, 2, 3]) is None
    assert spearman([1, 1, 1, 1], [1, 2, 3, 4]) is None
    assert spearman([1, 2, 3, 4], [2, 2, 2, 2]) is None
