"""The self-check of a meter, on a simulated driver and with stand-in work."""

import time
from functools import partial
from types import SimpleNamespace

import pytest

from pytest_lem.machine import gpu
from pytest_lem.meters.opening import open_meters
from pytest_lem.meters.selfcheck import self_check
from pytest_lem.meters.survey import survey
from pytest_lem.report.meters import lines


class Work:
    """Sleeps instead of working; notes what was asked for."""

    def __init__(self, device="cuda"):
        self.device = device
        self.asked = []

    def do(self, what, amount, within_s):
        self.asked.append((what, amount))
        start_s = time.monotonic()
        time.sleep(amount if what == "load" else amount / 1000)
        return start_s, time.monotonic()


def checked(work, *, seconds=2.4):
    opened = partial(open_meters, ["nvml"], gpus=gpu.discover())
    return self_check(
        opened, work, seconds=seconds, wait=lambda s: time.sleep(min(s, 0.6))
    )


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.03, "verified"), (0.9, "unverified")]
)
def test_a_counter_is_verified_where_the_samples_agree_within_5_percent(
    driver, factor, verdict
):
    """At rest and under load, for each GPU."""
    simulated = driver([300.0, 100.0], ring=True)
    true = simulated.samples

    def samples(*arguments):
        kind, found = true(*arguments)
        for one in found:
            value = round(one.sampleValue.uiVal * factor)
            one.sampleValue = SimpleNamespace(uiVal=value)
        return kind, found

    simulated.nvmlDeviceGetSamples = samples
    work = Work()
    check = checked(work)
    assert check.verdict == verdict
    assert [(one.state, one.device) for one in check.comparisons] == [
        ("idle", "GPU-0"),
        ("idle", "GPU-1"),
        ("load", "GPU-0"),
        ("load", "GPU-1"),
    ]
    for one in check.comparisons:
        assert one.difference_pct == pytest.approx(100 * (factor - 1), abs=4)
    assert [what for what, _ in work.asked[:3]] == ["load", "load", "steps"]


def test_what_sampling_costs_is_told_with_an_interval(driver):
    """Blocks with and without the meter take turns; three pairs at least."""
    driver([300.0])
    work = Work()
    overhead = checked(work, seconds=1.0).overhead
    blocks = [amount for what, amount in work.asked if what == "steps"][1:]
    warming, measured = blocks[::2], blocks[1::2]
    assert len(measured) == 2 * overhead.pairs
    assert len(set(measured)) == len(set(warming)) == 1
    assert overhead.low_pct <= overhead.slowdown_pct <= overhead.high_pct


def test_without_a_ring_or_work_nothing_is_called_verified(driver):
    """The reasons are told, to people as well."""
    driver([300.0])
    (found,) = survey(["nvml"], gpu.discover(), seconds=1.0, work="no library here")
    check = found.self_check
    assert check.verdict == "unchecked"
    assert [one.reason for one in check.comparisons] == ["no_ring", "no library here"]
    assert check.overhead.reason == "no library here"
    told = list(lines(found))
    assert "    self-check: unchecked, there is nothing to hold it against" in told
    assert "        idle: GPU-0: not compared, no_ring" in told
    assert "        sampling: cost not measured, no library here" in told


def test_work_on_the_cpu_loads_no_gpu(driver):
    """A load that no GPU feels is none."""
    driver([300.0], ring=True)
    check = checked(Work("cpu"), seconds=1.0)
    assert check.comparisons[-1].reason == "no GPU that work could be put on"
