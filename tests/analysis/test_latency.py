"""Latency from known stamps: TTFT, TPOT, ITL and E2E."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.analysis.latency import Stamps, batched, distribution, streamed

MS = 1_000_000


def request(sent_ms, ended_ms, *token_ms):
    return Stamps(sent_ms * MS, ended_ms * MS, [t * MS for t in token_ms])


def test_one_request_by_hand():
    """Sent at 10, tokens at 60, 80, 110 and 120 ms, ended at 125 ms."""
    block = streamed([request(10, 125, 60, 80, 110, 120)])
    assert block["ttft_ms"]["mean"] == 50
    assert block["tpot_ms"]["mean"] == pytest.approx((125 - 60) / 3)
    assert block["itl_ms"]["n"] == 3
    assert (block["itl_ms"]["min"], block["itl_ms"]["max"]) == (10, 30)
    assert block["itl_ms"]["p50"] == 20
    assert block["itl_trimmed_ms"] == {**block["itl_trimmed_ms"], "n": 1, "mean": 30}
    assert block["e2e_ms"]["mean"] == 115
    assert (block["method"], block["requests"]) == ("true_streaming", 1)


def test_the_first_token_s_time_has_the_parts_that_are_known():
    """All of it is prefill; tokenising came before; each null has its reason."""
    block = streamed([request(10, 40, 30), request(0, 40, 30)], tokenise_ms=0.5)
    assert block["ttft_parts_ms"] == {
        "tokenise": 0.5,
        "queue": None,
        "prefill": 25.0,
        "first_decode": None,
        "nulls": {
            "queue": "one_at_a_time",
            "first_decode": "first_token_ends_prefill",
        },
    }
    nulls = streamed([request(0, 40)])["ttft_parts_ms"]["nulls"]
    assert nulls["tokenise"] == "prompts_are_token_ids"
    assert nulls["prefill"] == "no_first_token"


def test_what_a_request_waited_among_others_is_no_prefill():
    """Where nobody tells how long that was, nobody knows the rest."""
    one = [request(10, 40, 30)]
    parts = streamed(one, queue_ms=12.0, together=True)["ttft_parts_ms"]
    assert (parts["queue"], parts["prefill"]) == (12.0, 8.0)
    parts = streamed(one, together=True)["ttft_parts_ms"]
    assert (parts["queue"], parts["prefill"]) == (None, None)
    assert parts["nulls"]["prefill"] == "queue_not_known"


def test_a_request_without_tokens_has_no_first_token():
    """It still took its time, which counts end to end."""
    block = streamed([request(0, 100)])
    assert block["ttft_ms"] is block["tpot_ms"] is block["itl_ms"] is None
    assert block["itl_trimmed_ms"] is None
    assert block["e2e_ms"]["mean"] == 100
    assert block["requests"] == 1


def test_a_request_with_one_token_has_a_first_and_no_gap():
    """There is nothing between one token."""
    block = streamed([request(0, 100, 90)])
    assert block["ttft_ms"]["mean"] == 90
    assert block["tpot_ms"] is block["itl_ms"] is block["itl_trimmed_ms"] is None


def test_two_tokens_have_a_gap_that_trimming_takes_away():
    """First and last gap of a request may be the same one."""
    block = streamed([request(0, 50, 30, 50)])
    assert block["itl_ms"]["mean"] == 20
    assert block["itl_trimmed_ms"] is None
    assert streamed([request(0, 50, 10, 20, 50)])["itl_trimmed_ms"] is None


def test_requests_of_all_lengths_are_pooled_by_what_they_have():
    """Each distribution counts only the requests that have a part in it."""
    block = streamed(
        [request(0, 9), request(0, 10, 8), request(0, 20, 10, 20), request(0, 1)]
    )
    names = ("ttft_ms", "tpot_ms", "itl_ms", "itl_trimmed_ms", "e2e_ms")
    assert {name: (block[name] or {}).get("n") for name in names} == {
        "ttft_ms": 2,
        "tpot_ms": 1,
        "itl_ms": 1,
        "itl_trimmed_ms": None,
        "e2e_ms": 4,
    }


def test_time_per_token_weighs_requests_equally():
    """One value per request, whatever its length; gaps weigh by token."""
    slow, quick = request(0, 100, 0, 100), request(0, 5, 0, 1, 2, 3, 4, 5)
    block = streamed([slow, quick])
    assert block["tpot_ms"]["mean"] == pytest.approx((100 + 1) / 2)
    assert block["itl_ms"]["mean"] == pytest.approx((100 + 5) / 6)


def test_a_batch_knows_only_end_to_end_times():
    """No first token is invented where none was stamped."""
    block = batched([request(0, 10), request(0, 30)])
    assert block["method"] == "per_request_batch"
    assert block["e2e_ms"]["mean"] == 20
    missing = [block[f"{k}_ms"] for k in ("ttft", "tpot", "itl", "itl_trimmed")]
    assert missing == [None] * 4
    assert block.keys() == streamed([request(0, 1)]).keys()


def test_nothing_has_no_distribution():
    """An empty sample is None, not zero."""
    assert distribution([]) is None
    assert streamed([])["e2e_ms"] is None
    assert batched([])["e2e_ms"] is None


@pytest.mark.parametrize(
    ("count", "few", "unsupported"),
    [(29, True, True), (30, False, True), (458, False, True), (459, False, False)],
)
def test_few_requests_are_flagged(count, few, unsupported):
    """A 99th percentile of a handful is its maximum."""
    requests = [request(0, 2, 1)] * count
    flags = ["few_samples"] if few else []
    assert batched(requests)["flags"] == flags
    flags += ["unsupported_percentiles"] if unsupported else []
    assert streamed(requests)["flags"] == flags


def test_requests_without_tokens_do_not_count_as_samples():
    """Only those that stamped a token say something of streaming."""
    assert streamed([request(0, 1)] * 40)["flags"] == ["few_samples"]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_percentiles_are_numpys_linear_ones(sample):
    """Type 7, as everybody's default."""
    found = distribution(sample)
    p50, p95, p99 = np.percentile(sample, [50, 95, 99], method="linear")
    assert (found["p50"], found["p95"], found["p99"]) == (p50, p95, p99)
    assert found["mean"] == pytest.approx(np.mean(sample))
    assert (found["min"], found["max"], found["n"]) == (
        min(sample),
        max(sample),
        len(sample),
    )


instants = st.lists(st.integers(0, 10**6), min_size=2, max_size=12).map(sorted)


@given(ticks=instants, late=st.integers(0, 1000))
def test_first_token_and_time_per_token_add_up_to_the_end(ticks, late):
    """TTFT + (n - 1) x TPOT is E2E, whatever passes after the last token."""
    sent, *tokens = [tick * MS for tick in ticks]
    block = streamed([Stamps(sent, tokens[-1] + late * MS, tokens)])
    steps_ms = (len(tokens) - 1) * (block["tpot_ms"] or {"mean": 0.0})["mean"]
    end_ms = block["ttft_ms"]["mean"] + steps_ms + (late if len(tokens) == 1 else 0)
    assert end_ms == pytest.approx(block["e2e_ms"]["mean"])


@given(instants)
def test_first_token_and_gaps_add_up_to_the_last_token(ticks):
    """TTFT and all gaps together are the time of the last token."""
    sent, *tokens = [tick * MS for tick in ticks]
    block = streamed([Stamps(sent, tokens[-1], tokens)])
    gaps = block["itl_ms"] or {"n": 0, "mean": 0.0}
    total_ms = block["ttft_ms"]["mean"] + gaps["n"] * gaps["mean"]
    assert total_ms == pytest.approx(block["e2e_ms"]["mean"])
