"""The plateau between ramp and drain."""

import pytest

from pytest_lem.analysis.latency import Stamps
from pytest_lem.analysis.steady import steady

MS = 1_000_000
START = 7_000_000_000_000  # a clock that does not start at zero


def served(count, *, every_ms, takes_ms, tokens=2):
    """Requests at one rate, each of one length, with tokens at their middle and end."""
    found = []
    for k in range(count):
        sent = START + k * every_ms * MS
        steps = [sent + takes_ms * MS * (i + 1) // tokens for i in range(tokens)]
        found.append(Stamps(sent, sent + takes_ms * MS, steps))
    return found


def test_what_fills_and_empties_the_engine_is_left_out():
    """Every 10 ms one that takes 98: ten in flight, from the tenth to the last's."""
    found = steady(served(100, every_ms=10, takes_ms=98))
    assert found["in_flight"] == 10
    assert found["start_s"] == pytest.approx((START + 90 * MS) / 1e9)
    assert found["duration_s"] == pytest.approx(0.908)
    assert found["achieved_rps"] == pytest.approx(100, rel=0.02)
    assert found["output_tps"] == pytest.approx(200, rel=0.02)
    assert found["nulls"] == {}


def test_without_stamps_requests_are_counted_and_tokens_are_not():
    """Null with the reason, and never 0."""
    found = steady(served(100, every_ms=10, takes_ms=95, tokens=0))
    assert found["achieved_rps"] == pytest.approx(100, rel=0.02)
    assert (found["output_tps"], found["nulls"]) == (
        None,
        {"output_tps": "no_token_stamps"},
    )


@pytest.mark.parametrize(
    ("count", "takes_ms", "why"), [(29, 95, "few_requests"), (100, 2, "mostly_idle")]
)
def test_there_is_none_of_few_requests_or_where_the_engine_is_mostly_idle(
    count, takes_ms, why
):
    """Every figure is null, with the reason."""
    found = steady(served(count, every_ms=10, takes_ms=takes_ms))
    nulls = found.pop("nulls")
    assert set(found.values()) == {None}
    assert nulls == dict.fromkeys(found, why)
