"""What --lem-strict asks of the meters."""

import time
from pathlib import Path

import pytest

from pytest_lem.engines.registry import Registry
from pytest_lem.errors import MeterError
from pytest_lem.front.live import Silent
from pytest_lem.measure.conditions import Conditions
from pytest_lem.measure.cycle import run_cycle
from pytest_lem.measure.idle import IdlePolicy
from pytest_lem.measure.laboratory import Laboratory
from pytest_lem.meters.fake import HandCranked
from pytest_lem.meters.metering import Metering
from pytest_lem.spec.experiment import plan_experiment
from pytest_lem.spec.provenance import Layer


@pytest.mark.parametrize("strict", [True, False])
def test_a_meter_that_says_nothing_is_an_error_only_if_strict(tmp_path: Path, strict):
    """A counter that never moves leaves energy null; --lem-strict makes that fail."""
    values = {
        "backend": "fake",
        "fake": {"prefill_s": 0.01, "token_s": 0.001},
        "windows": 1,
        "warmup": "off",
    }
    experiment = plan_experiment("x", [Layer(origin="marker", values=values)])
    lab = Laboratory(
        metering=Metering([HandCranked(start_s=time.monotonic())]),
        conditions=Conditions(idle=IdlePolicy(mode="off"), gpus=[], strict=strict),
        registry=Registry(),
        log_directory=tmp_path,
        progress=Silent(),
    )
    kept = []
    try:
        if strict:
            with pytest.raises(MeterError, match="--lem-strict"):
                run_cycle(lab, experiment, 0, kept.append)
        else:
            run_cycle(lab, experiment, 0, kept.append)
    finally:
        lab.close()
    assert kept[0].status == ("failed" if strict else "complete")
    assert kept[0].metrics["energy_gross_j"] is None
