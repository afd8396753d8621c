"""Cycles whose numbers cannot be."""

import pytest

from pytest_lem.errors import ImpossibleNumber, from_kind
from pytest_lem.measure.cycle import run_cycle
from pytest_lem.meters.fake import FakeMeter

LIMITS_W = {"fake:0": 700.0}


def test_a_cycle_above_the_power_limit_fails_by_name(make_lab, experiment):
    """It is kept with its windows, as failed, and says which law was broken."""
    lab = make_lab(FakeMeter(2000.0), power_limits_w=LIMITS_W)
    kept = []
    one = experiment(script={"prefill_s": 0.3})
    with pytest.raises(ImpossibleNumber, match=r"power_limit: energy window 0: fake:0"):
        run_cycle(lab, one, 0, kept.append)
    (cycle,) = kept
    assert (cycle.status, cycle.error.kind) == ("failed", "impossible")
    assert len(cycle.windows) == 3
    assert "its limit is 700 W" in cycle.error.message


@pytest.mark.parametrize("power_w", [0.0, 700.0])
def test_a_cycle_within_the_limit_counts(make_lab, experiment, measure, power_w):
    """At the limit is possible; so is nothing."""
    lab = make_lab(FakeMeter(power_w), power_limits_w=LIMITS_W)
    assert measure(lab, experiment()).status == "complete"


def test_an_engine_that_tells_other_batches_is_found_out(
    make_lab, experiment, odd_engine
):
    """Batches that do not add up to the requests fail the cycle."""
    entry = odd_engine(
        "class Odd(FakeEngine):\n"
        "    def collect(self, *args):\n"
        "        return {**super().collect(*args), 'batches': [7]}\n"
    )
    kept = []
    with pytest.raises(ImpossibleNumber, match="2 requests of its batches told, 7 c"):
        run_cycle(make_lab(engine=entry), experiment(batch_size=2), 0, kept.append)
    assert kept[0].error.kind == "impossible"


def test_the_kind_is_known_by_its_name():
    """As records name it."""
    assert isinstance(from_kind("impossible", "no"), ImpossibleNumber)
