"""Which requests are good, how many, and how sure their share is."""

import pytest
from scipy import stats

from pytest_lem.analysis.goodput import FIGURES, goodput, meets, met, pooled, wilson
from pytest_lem.analysis.latency import Stamps

MS = 1_000_000
START = 7_000_000_000_000  # a clock that does not start at zero


def request(*token_ms, ended_ms=None):
    """Sent at the start, with tokens so many milliseconds after it."""
    ended = ended_ms if ended_ms is not None else token_ms[-1]
    tokens = [START + at * MS for at in token_ms]
    return Stamps(START, START + ended * MS, tokens)


@pytest.mark.parametrize(
    ("limits", "good"),
    [
        ({"ttft_ms": 20}, True),
        ({"ttft_ms": 19.9}, False),
        ({"tpot_ms": 20}, True),
        ({"tpot_ms": 19.9}, False),
        ({"itl_p95_ms": 29.1}, True),
        ({"itl_p95_ms": 28.9}, False),
        ({"e2e_ms": 80}, True),
        ({"e2e_ms": 79.9}, False),
        ({"ttft_ms": 20, "e2e_ms": 79}, False),
        ({"ttft_ms": 20, "e2e_ms": 80}, True),
    ],
)
def test_a_request_is_good_if_it_meets_every_limit(limits, good):
    """Tokens after 20, 30, 50 and 80 ms: gaps of 10, 20, 30, their p95 is 29."""
    assert meets(request(20, 30, 50, 80), limits) is good


def test_one_token_has_no_gaps_and_no_token_meets_nothing_of_tokens():
    """TPOT of a single token is 0; a request without any has failed."""
    assert meets(request(20), {"tpot_ms": 0.001, "itl_p95_ms": 0.001})
    silent = request(ended_ms=5)
    assert not meets(silent, {"ttft_ms": 1000})
    assert meets(silent, {"e2e_ms": 5})


def block(good, bad, *, duration_s=2.0, energy_j=12.0):
    requests = [request(10)] * good + [request(90)] * bad
    one = met(requests, {"ttft_ms": 50}, duration_s=duration_s, energy_j=energy_j)
    return {**goodput([one]), "reason": None}


def test_goodput_is_good_requests_over_seconds_and_over_joules():
    """Three of four, in two seconds, of twelve joules."""
    found = block(3, 1)
    assert (found["good"], found["requests"]) == (3, 4)
    assert found["goodput_rps"] == 1.5
    assert found["attainment"] == 0.75
    assert found["goodput_per_joule"] == 0.25
    assert found["attainment_low"] < 0.75 < found["attainment_high"]


def test_without_energy_there_is_goodput_and_none_per_joule():
    """Null, and never 0."""
    found = block(1, 0, duration_s=1, energy_j=None)
    assert (found["goodput_rps"], found["goodput_per_joule"]) == (1, None)


def test_goodput_of_several_is_of_their_sums():
    """Not the mean of rates; one without energy leaves none to all."""
    found = pooled([block(3, 1), block(1, 3, duration_s=6.0, energy_j=4.0)])
    assert (found["good"], found["requests"], found["goodput_rps"]) == (4, 8, 0.5)
    assert found["goodput_per_joule"] == 0.25
    lower = block(4, 4)["attainment_low"]
    assert found["attainment_low"] == pytest.approx(lower)
    blind = {**block(1, 0, energy_j=None), "reason": "no_meter"}
    half = pooled([block(1, 0), blind])
    assert (half["goodput_per_joule"], half["reason"]) == (None, "no_meter")
    assert half["goodput_rps"] == 0.5
    unknown = {**dict.fromkeys(FIGURES), "reason": "few_requests"}
    assert pooled([block(1, 0), unknown]) == unknown


@pytest.mark.parametrize(("good", "sent"), [(0, 5), (5, 5), (3, 10), (970, 1000)])
def test_the_interval_of_a_share_is_scipy_s(good, sent):
    """Also where all or none are good, which leaves it a width."""
    known = stats.binomtest(good, sent).proportion_ci(0.95, method="wilson")
    assert wilson(good, sent) == pytest.approx((known.low, known.high), abs=1e-12)
