"""The regression of energy on tokens in and out."""

import random

import numpy as np
import pytest
from scipy import stats

from pytest_lem.analysis.phases import Run, fit

LENGTHS = [(32, 16), (32, 96), (128, 48), (256, 16), (256, 96)]


def runs(noise_j=0.0, repeats=3, bend=0.0, seed=0):
    """Runs that cost 5 J, 0.01 J a token in, 0.4 J a token out, and perhaps a bend."""
    draw = random.Random(seed)
    return [
        Run(
            input_tokens=m,
            output_tokens=n,
            energy_j=5 + 0.01 * m + 0.4 * n + bend * m * n + draw.gauss(0, noise_j),
        )
        for m, n in LENGTHS
        for _ in range(repeats)
    ]


def test_the_costs_come_out_as_they_went_in():
    """Without noise the fit finds fixed cost and both prices exactly."""
    found = fit(runs())
    assert found.fixed.value == pytest.approx(5)
    assert found.per_input_token.value == pytest.approx(0.01)
    assert found.per_output_token.value == pytest.approx(0.4)
    assert (found.runs, found.lengths) == (15, 5)


def test_estimates_and_intervals_are_those_of_least_squares():
    """Values and intervals equal the textbook's, computed another way."""
    sample = runs(noise_j=0.5)
    x = np.array([[1, r.input_tokens, r.output_tokens] for r in sample])
    y = np.array([r.energy_j for r in sample])
    beta = np.linalg.solve(x.T @ x, x.T @ y)
    s2 = ((y - x @ beta) ** 2).sum() / (len(y) - 3)
    half = stats.t.ppf(0.975, len(y) - 3) * np.sqrt(s2 * np.linalg.inv(x.T @ x)[2, 2])
    found = fit(sample)
    assert found.per_output_token.value == pytest.approx(beta[2])
    assert found.per_output_token.low == pytest.approx(beta[2] - half)
    assert found.per_output_token.high == pytest.approx(beta[2] + half)
    assert found.residual_std_j == pytest.approx(s2**0.5)


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Of 300 noisy experiments about 95 % have the true price in their interval."""
    inside = 0
    for seed in range(300):
        price = fit(runs(noise_j=0.5, seed=seed)).per_output_token
        inside += price.low <= 0.4 <= price.high
    assert 0.91 <= inside / 300 <= 0.985


def test_a_cost_that_is_no_plane_is_told():
    """A product term shows as lack of fit; noise around a plane does not."""
    assert fit(runs(noise_j=0.2, bend=0.002)).lack_of_fit_p < 0.001
    flat = [fit(runs(noise_j=0.2, seed=k)).lack_of_fit_p for k in range(60)]
    assert sum(p < 0.05 for p in flat) <= 9


def test_without_repeats_or_spare_runs_less_is_said():
    """No repeats, no lack of fit; no spare runs, no intervals."""
    assert fit(runs(noise_j=0.1, repeats=1)).lack_of_fit_p is None
    three = fit(runs(repeats=1)[:3])
    assert three.residual_std_j is None
    assert three.fixed.low is None


@pytest.mark.parametrize(
    "lengths",
    [[(1, 1), (2, 2)], [(1, 1), (2, 2), (3, 3)], [(8, 4), (8, 8), (8, 16)]],
    ids=["two", "on a line", "one input length"],
)
def test_lengths_that_fix_no_plane_are_refused(lengths):
    """The error says what is missing instead of giving numbers that mean nothing."""
    sample = [Run(input_tokens=m, output_tokens=n, energy_j=1.0) for m, n in lengths]
    with pytest.raises(ValueError, match="not on one line"):
        fit(sample)
