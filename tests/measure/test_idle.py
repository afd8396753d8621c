"""Idle power, read with a clock cranked by hand."""

import math
import statistics

import pytest

from pytest_lem.errors import IdleError
from pytest_lem.measure.idle import IdlePolicy, read_idle
from pytest_lem.meters.fake import FakeMeter
from pytest_lem.meters.metering import Metering
from pytest_lem.meters.opening import open_meters


def read(clock, mode="auto", seconds=5.0, devices=("cpu",), wait=None):
    policy = IdlePolicy(mode=mode, seconds=seconds)
    return read_idle(clock.metering, policy, devices, wait=wait or clock.wait)


def test_a_constant_draw_is_its_power_without_spread(cranked):
    """60 W for five seconds, in five slices."""
    cranked.power_w = 60.0
    found = read(cranked).record
    assert found.power_w == pytest.approx(60.0)
    assert found.std_w == pytest.approx(0.0, abs=1e-6)
    assert (found.samples, found.duration_s) == (5, 5.0)
    assert found.method == "counter_interpolated"
    assert (found.state, found.age_s) == ("model_loaded", 0.0)


def test_a_draw_that_changes_has_its_mean_and_spread(cranked):
    """One slice at each power: the deviation is that of the slices, ddof 1."""
    powers_w = [50.0, 60.0, 70.0, 60.0, 80.0]

    def wait(seconds):
        for power_w in powers_w:
            cranked.meter.jump(power_w * seconds / 5, seconds / 5)

    found = read(cranked, wait=wait).record
    assert found.power_w == pytest.approx(statistics.mean(powers_w))
    assert found.std_w == pytest.approx(statistics.stdev(powers_w))


@pytest.mark.parametrize("seconds", [1.0, 2.5, 30.0])
def test_the_reading_is_as_long_as_asked(cranked, seconds):
    """Exactly so long is waited, once."""
    began_s = cranked.meter.now_s
    found = read(cranked, seconds=seconds)
    assert found.record.duration_s == pytest.approx(seconds)
    assert found.ended_s == pytest.approx(began_s + seconds)


def test_its_age_is_told_when_it_is_used(cranked):
    """Two windows that share a reading have it at different ages."""
    found = read(cranked)
    assert found.used_at(found.ended_s + 7.5).age_s == pytest.approx(7.5)
    assert found.used_at(found.ended_s).age_s == 0.0
    assert found.used_at(found.ended_s - 1e-6).age_s == 0.0
    assert found.used_at(found.ended_s + 1).power_w == found.record.power_w


def test_off_reads_nothing_and_waits_for_nothing(cranked):
    """The reason is the setting."""
    found = read(cranked, mode="off", wait=pytest.fail)
    assert (found.record, found.reason) == (None, "idle_off")
    assert found.used_at(1e9) is None


class Estimate(FakeMeter):
    """A model's energy."""

    basis = "estimated"


@pytest.mark.parametrize(
    ("meters", "reason"),
    [([], "no_meter"), ([Estimate()], "idle_of_an_estimate_means_nothing")],
)
def test_where_idle_cannot_be_read_the_reason_is_told(meters, reason):
    """`auto` goes on without; `required` ends the cycle, neither waits."""
    metering = Metering(meters)
    auto, required = IdlePolicy(mode="auto"), IdlePolicy(mode="required")
    found = read_idle(metering, auto, ["cpu"], wait=pytest.fail)
    assert (found.record, found.reason) == (None, reason)
    with pytest.raises(IdleError, match=f"required and cannot be measured: {reason}"):
        read_idle(metering, required, ["cpu"], wait=pytest.fail)


def test_a_meter_that_falls_silent_gives_no_reading(cranked):
    """Time passes and nothing arrives: null with the reason, or an error."""

    def silence(seconds):
        cranked.meter.now_s += seconds

    found = read(cranked, wait=silence, seconds=1.0)
    assert (found.record, found.reason) == (None, "not_covered: hand_cranked:0")
    with pytest.raises(IdleError, match="not_covered: hand_cranked:0"):
        read(cranked, mode="required", wait=silence, seconds=1.0)


def test_a_real_short_run_reads_a_real_meter():
    """The fake meter's power, over real seconds."""
    with open_meters(["fake:42"], gpus=[]) as metering:
        found = read_idle(metering, IdlePolicy(seconds=0.3), ["cpu"]).record
    assert found.power_w == pytest.approx(42.0)
    assert found.duration_s >= 0.3
    assert math.isclose(found.std_w, 0.0, abs_tol=1e-6)
