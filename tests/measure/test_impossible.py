"""Cycles whose numbers cannot be."""

from pathlib import Path
from random import Random

import pytest

from pytest_lem.analysis.laws import Account, DeviceEnergy, broken_laws
from pytest_lem.errors import ImpossibleNumber, from_kind
from pytest_lem.measure.cycle import run_cycle
from pytest_lem.meters.fake import FakeMeter
from pytest_lem.meters.trace import whole_trace

TRACE = Path(__file__).parents[1] / "data" / "h100_llm_trace.json.gz"

LIMITS_W = {"fake:0": 700.0}


def test_a_cycle_above_the_power_limit_fails_by_name(make_lab, experiment):
    """It is kept with its windows, as failed, and says which law was broken."""
    lab = make_lab(FakeMeter(2000.0), power_limits_w=LIMITS_W)
    kept = []
    one = experiment(script={"prefill_s": 0.5})
    with pytest.raises(ImpossibleNumber, match=r"power_limit: energy window 0: fake:0"):
        run_cycle(lab, one, 0, kept.append)
    (cycle,) = kept
    assert (cycle.status, cycle.error.kind) == ("failed", "impossible")
    assert len(cycle.windows) == 3
    assert "its limit is 700 W" in cycle.error.message


@pytest.mark.parametrize("duration_s", [0.05, 0.1, 0.2, 0.5, 1.0, 2.0])
def test_a_real_gpu_at_its_limit_breaks_no_law(duration_s):
    """Spans of a recorded H100 with 700 W, which drew up to 950 W in bursts."""
    timeline = whole_trace(TRACE)
    draw = Random(1)
    powers_w = []
    for _ in range(1000):
        start_s = draw.uniform(31.0, 153.0 - duration_s)
        span = timeline.energy(start_s, start_s + duration_s)
        account = Account(
            name="span",
            duration_s=duration_s,
            gross_j=span.energy_j,
            scope=["gpu"],
            devices=[
                DeviceEnergy(
                    device="GPU-0",
                    scope="gpu",
                    energy_j=span.energy_j,
                    uncertainty_j=span.uncertainty_j,
                )
            ],
            requests=0,
            batches=[],
            input_tokens=0,
            output_tokens=0,
            request_tokens=[],
        )
        assert broken_laws([account], {}, {"GPU-0": 700.0}) == []
        powers_w.append(span.energy_j / duration_s)
    assert max(powers_w) > 650.0


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


DENSE = """
from dataclasses import replace
SHAPE = {
    "layers": 32, "hidden_size": 4096, "attention_heads": 32, "key_value_heads": 8,
    "head_dim": 128, "intermediate_size": 14336, "gated_mlp": True,
    "vocab_size": 128256, "tied_embeddings": False, "dtype": "bfloat16",
}
class Odd(FakeEngine):
    def load(self, spec):
        done = super().load(spec)
        return replace(done, devices=["cuda:0"], model={**done.model, **SHAPE})
"""


@pytest.mark.parametrize(("token_s", "fails"), [(0.001, True), (0.02, False)])
def test_tokens_faster_than_memory_fail_the_cycle(
    make_lab, experiment, odd_engine, token_s, fails
):
    """8e9 parameters in 16 bits take an H100 4.5 ms a step, whatever the batch."""
    lab = make_lab(
        engine=odd_engine(DENSE), whole_gpus=[], bandwidth_bytes_per_s=3.35e12
    )
    one = experiment(script={"token_s": token_s, "prefill_s": 0.02}, output_tokens=50)
    kept = []
    if fails:
        with pytest.raises(ImpossibleNumber, match="bandwidth: energy window 0: 50 st"):
            run_cycle(lab, one, 0, kept.append)
    else:
        run_cycle(lab, one, 0, kept.append)
    assert kept[0].status == ("failed" if fails else "complete")


def test_the_kind_is_known_by_its_name():
    """As records name it."""
    assert isinstance(from_kind("impossible", "no"), ImpossibleNumber)
