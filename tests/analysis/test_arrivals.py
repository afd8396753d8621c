"""What was sent beside what was asked for: laws, rates, lateness."""

import numpy as np
import pytest
from scipy import stats

from pytest_lem.analysis.arrivals import doubts, gaps, keeping_up

MS = 1_000_000
POISSON = 1.0


def sent(gaps_s):
    """Times with these gaps, on a clock that does not start at zero."""
    return (10**15 + np.cumsum([0, *gaps_s]) * 1e9).astype(np.int64).tolist()


@pytest.mark.parametrize("shape", [0.5, 1.0, 4.0])
def test_gaps_of_the_law_asked_for_pass_and_agree_with_scipy(shape):
    """Distance and probability are those of scipy's own test."""
    units = np.random.default_rng(5).gamma(shape, 1 / shape, 2000)
    found = gaps(sent(units / 50), [50.0] * 2000, shape)
    known = stats.kstest(units, stats.gamma(shape, scale=1 / shape).cdf)
    assert found["ks"]["statistic"] == pytest.approx(known.statistic, abs=1e-5)
    assert found["ks"]["p"] == pytest.approx(known.pvalue, abs=0.01)
    assert found["cv"] == pytest.approx(shape**-0.5, rel=0.1)
    assert abs(found["lag1"]) < 0.1
    assert found["nulls"] == {}


def test_gaps_of_another_law_fail():
    """Bursts are no poisson process, nor are even gaps."""
    rng = np.random.default_rng(1)
    bursts = gaps(sent(rng.gamma(0.5, 2, 2000)), [1.0] * 2000, POISSON)
    even = gaps(sent(rng.gamma(4, 0.25, 2000)), [1.0] * 2000, POISSON)
    assert bursts["ks"]["p"] < 1e-6 > even["ks"]["p"]
    assert even["dispersion"] < 0.8 < 1.2 < bursts["dispersion"]


def test_dispersion_is_variance_over_mean_of_requests_in_bins_of_a_mean_gap():
    """Three requests in every third bin, none in the others: variance 2, mean 1."""
    found = gaps(sent([0.5, *[0.1, 0.1, 2.8] * 40]), [1.0] * 121, POISSON)
    assert found["dispersion"] == pytest.approx(2, rel=0.05)


def test_gaps_that_follow_one_another_in_length_are_told():
    """Exponential gaps, sorted: the law is right and their order is not."""
    units = np.sort(np.random.default_rng(2).exponential(1, 500))
    found = gaps(sent(units), [1.0] * 500, POISSON)
    assert found["ks"]["p"] > 0.01
    assert found["lag1"] > 0.9


def test_a_ramp_is_taken_out_of_the_gaps():
    """By their rates gaps are of mean 1, however fast they came."""
    rates = np.linspace(1, 40, 3000)
    units = np.random.default_rng(3).exponential(1, 3000)
    assert gaps(sent(units / rates), rates.tolist(), POISSON)["ks"]["p"] > 0.01


def test_times_that_were_not_drawn_have_no_law_to_be_tested_against():
    """Constant and recorded gaps: their spread is known, and the rest null."""
    found = gaps(sent([0.02] * 100), [], None)
    assert found["cv"] == pytest.approx(0, abs=1e-6)
    assert (found["ks"], found["lag1"]) == (None, None)
    assert found["nulls"] == {"ks": "not_drawn", "lag1": "not_drawn"}


@pytest.mark.parametrize(
    ("gaps_s", "why"), [([0.1] * 29, "few_gaps"), ([0.0] * 99, "all_at_once")]
)
def test_what_cannot_be_told_is_null_with_the_reason(gaps_s, why):
    """Too few gaps, or none at all."""
    found = gaps(sent(gaps_s), [1.0] * len(gaps_s), POISSON)
    assert set(found["nulls"].values()) == {why}
    assert all(found[name] is None for name in found["nulls"])


def test_an_engine_that_keeps_up_is_done_at_the_rate_of_the_requests():
    """However long each takes."""
    due = [k * 10 * MS for k in range(50)]
    found = keeping_up(due, due, [at + 900 * MS for at in due])
    assert found["offered_rps"] == found["achieved_rps"] == pytest.approx(100)
    assert found["saturated"] is False
    assert doubts(found) == doubts({**found, "at_once": 8}) == []
    assert doubts({**found, "at_once": 1}) == ["served_singly"]


def test_an_engine_that_falls_behind_is_saturated():
    """One request in 20 ms where one came every 10 ms."""
    due = [k * 10 * MS for k in range(50)]
    found = keeping_up(due, due, [k * 20 * MS for k in range(1, 51)])
    assert found["achieved_rps"] == pytest.approx(50)
    assert doubts(found) == ["saturated"]


def test_requests_that_were_sent_late_are_flagged():
    """By the 99th percentile: one in two hundred may be."""
    due = [k * 10 * MS for k in range(200)]
    late = [at + 2 * MS for at in due]
    assert doubts(keeping_up(due, late, late)) == ["sent_late"]
    once = [*due[:-1], due[-1] + 2 * MS]
    assert doubts(keeping_up(due, once, once)) == []


@pytest.mark.parametrize("count", [1, 30])
def test_of_few_requests_nobody_can_tell_whether_an_engine_keeps_up(count):
    """And one request has no rate."""
    due = [k * MS for k in range(count)]
    found = keeping_up(due, due, [at * 9 for at in due])
    assert found["saturated"] is None
    assert (found["offered_rps"] is None) == (count == 1)
