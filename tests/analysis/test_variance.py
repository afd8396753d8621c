"""Shares of variance and effects over grids, against simulations of known effects."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import f_oneway

from pytest_lem.analysis.factorial import Design
from pytest_lem.analysis.variance import effects, partition

BATCH, LENGTH = ("1", "2", "10"), ("8", "32")


def grid(truth, *, cycles=3, spread=0.0, points=None):
    """The design and values of a grid of batch size and length, with known truth."""
    points = points or list(product(BATCH, LENGTH))
    draws = np.random.default_rng(3)
    columns = {"batch": [b for b, _ in points], "length": [n for _, n in points]}
    values = [
        [truth(float(b), float(n)) + spread * draws.normal() for _ in range(cycles)]
        for b, n in points
    ]
    return Design(columns, [cycles] * len(points)), values


def shares(found):
    return {one.term: one.share for one in found.sources}


def test_shares_of_a_balanced_grid_are_those_of_its_parts():
    """By hand: 2 b + n / 8 has variances 4 var(b) and var(n) / 64, and no pair."""
    design, values = grid(lambda b, n: 2 * b + n / 8)
    found = partition(design, values)
    of_batch, of_length = 4 * np.var([1, 2, 10]), np.var([8, 32]) / 64
    whole = of_batch + of_length
    expected = {
        ("batch",): of_batch / whole,
        ("length",): of_length / whole,
        ("batch", "length"): 0,
    }
    assert shares(found) == pytest.approx(expected)
    assert (found.noise, found.rest) == pytest.approx((0, 0), abs=1e-9)
    assert design.balanced


@given(
    st.lists(st.lists(st.floats(-9, 9), min_size=4, max_size=4), min_size=3, max_size=3)
)
def test_of_one_factor_it_is_the_analysis_of_variance(values):
    """Its p is scipy's; share and noise are all there is."""
    found = partition(Design({"batch": BATCH}, [4, 4, 4]), values)
    if found is None:
        return
    assert found.sources[0].share + found.noise == pytest.approx(1)
    inside = sum(np.var(one) for one in values)
    between = np.var([np.mean(one) for one in values])
    if min(inside, between) > 1e-3:
        expected = f_oneway(*values).pvalue
        assert found.sources[0].p == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(st.lists(st.floats(-9, 9), min_size=12, max_size=12))
def test_shares_of_a_balanced_grid_add_up_to_one(values):
    """Factors, pair and noise: two cycles of each of six experiments."""
    design, _ = grid(lambda b, n: 0.0, cycles=2)
    found = partition(design, np.reshape(values, (6, 2)).tolist())
    if found is not None:
        assert sum(shares(found).values()) + found.noise == pytest.approx(1)


def test_effects_hold_the_truth_in_their_intervals():
    """Of the batch, of the length, and of the batch by how long the texts are."""
    design, values = grid(lambda b, n: 3 * b + n + b * n / 10, cycles=40, spread=0.5)
    (length,) = effects(design, ("length",), values)
    assert (length.first, length.levels) == (("8",), ("32",))
    assert length.low < 24 + 24 * np.mean([1, 2, 10]) / 10 < length.high
    assert length.high - length.low < 0.3
    two, ten = effects(design, ("batch",), values)
    assert two.low < 3 + 20 / 10 < two.high
    assert ten.low < 9 * (3 + 20 / 10) < ten.high
    _, both = effects(design, ("batch", "length"), values)
    assert both.levels == ("10", "32")
    assert both.low < 9 * 24 / 10 < both.high
    assert all(one.p < 1e-6 for one in partition(design, values).sources)


def test_intervals_of_effects_are_right_as_often_as_they_say():
    """Of effects that are none, one in twenty is beyond its interval."""
    draws = np.random.default_rng(5)
    design, _ = grid(lambda b, n: 0.0)
    missed = 0
    for _ in range(400):
        values = draws.normal(size=(6, 3)).tolist()
        (one,) = effects(design, ("length",), values)
        missed += not one.low < 0 < one.high
    assert missed / 400 == pytest.approx(0.05, abs=0.03)


def test_a_grid_with_holes_tells_effects_all_the_same():
    """By what each factor adds to the other; the pair is not confounded with them."""
    points = [("1", "8"), ("2", "8"), ("10", "8"), ("1", "32"), ("2", "32")]
    design, values = grid(lambda b, n: 3 * b + n, points=points)
    assert not design.balanced
    (length,) = effects(design, ("length",), values)
    assert length.value == pytest.approx(24)
    assert [one.value for one in effects(design, ("batch",), values)] == pytest.approx(
        [3, 27]
    )
    found = partition(design, values)
    assert sum(shares(found).values()) > 1
    assert found.rest == pytest.approx(0, abs=1e-9)


def test_what_only_changes_together_is_told_as_one():
    """And what is another each time is told by its reason: no share is made up."""
    columns = {"batch": ["1", "1", "2", "2"], "length": ["8", "8", "32", "32"]}
    design = Design({**columns, "seed": ["1", "2", "3", "4"]}, [2] * 4)
    found = partition(design, [[1.0, 1.1], [1.0, 1.2], [3.0, 3.1], [3.0, 3.2]])
    assert design.together == {"batch": ["length"], "seed": []}
    batch, seed = found.sources
    assert batch.share == pytest.approx(0.99, abs=0.01)
    assert (seed.share, seed.reason) == (None, "is another in each experiment")


def test_what_the_others_decide_together_is_told_by_nobody():
    """A third factor that is the sum of two in a half of a grid."""
    columns = {"a": ["0", "0", "1", "1"], "b": ["0", "1", "0", "1"]}
    columns["c"] = ["0", "1", "1", "0"]
    found = partition(Design(columns, [1] * 4), [[1.0], [2.0], [4.0], [9.0]])
    assert [one.degrees for one in found.sources] == [1, 1, 1]
    columns["c"] = ["0", "1", "1", "2"]
    found = partition(Design(columns, [1] * 4), [[1.0], [2.0], [4.0], [9.0]])
    reasons = [one.reason for one in found.sources]
    assert reasons[0] == "cannot be told apart from the others together"


def test_a_setting_that_one_backend_alone_has_leaves_the_backends_comparable():
    """It is nested in them: they are not adjusted for it, and it is for them."""
    columns = {
        "backend": ["a", "a", "b", "b"],
        "b.eager": ["default", "default", "false", "true"],
        "batch": ["1", "2", "1", "1"],
    }
    values = [[1.0, 1.0], [1.5, 1.5], [3.0, 3.0], [5.0, 5.0]]
    design = Design(columns, [2] * 4)
    found = partition(design, values)
    assert [one.degrees for one in found.sources] == [1, 1, 1]
    (eager,) = effects(design, ("b.eager",), values)
    assert (eager.first, eager.levels, eager.value) == (
        ("false",),
        ("true",),
        pytest.approx(2.0),
    )
    assert effects(design, ("backend",), values)[0].value == pytest.approx(3.0)


def test_a_setting_that_follows_from_the_batch_within_a_backend_is_no_effect():
    """As many sequences as the batch has: what is left is how backends differ in it."""
    columns = {
        "backend": ["a", "a", "b", "b"],
        "batch": ["1", "8", "1", "8"],
        "b.most": ["default", "default", "1", "8"],
    }
    found = partition(Design(columns, [1] * 4), [[4.0], [2.0], [3.0], [0.5]])
    assert [(one.term, one.reason) for one in found.sources] == [
        (("backend",), None),
        (("batch",), None),
        (("backend", "batch"), None),
        (("b.most",), "follows from backend and batch"),
    ]


def test_without_repetitions_noise_is_not_known():
    """There are shares, and neither p nor intervals."""
    design, values = grid(lambda b, n: b * n, cycles=1)
    found = partition(design, values)
    assert (found.noise, {one.p for one in found.sources}) == (None, {None})
    assert effects(design, ("batch",), values)[0].low is None


def test_equal_values_have_no_spread_to_share():
    """Nothing is divided by nothing."""
    assert partition(*grid(lambda b, n: 5.0)) is None
