"""The throttle counters of the simulated driver."""

import time

import pytest

from pytest_lem.machine import gpu
from pytest_lem.meters.nvml.throttle import ThrottleCounters
from pytest_lem.meters.opening import open_meters


def test_throttle_counters_are_read_beside_the_energy(driver):
    """Those that the driver has, at low rate, of the GPU that was asked for."""
    simulated = driver([300.0, 100.0])
    simulated.throttle = {74: 1.0, 270: 0.25}
    with open_meters(["nvml"], gpus=gpu.discover()) as metering:
        time.sleep(0.2)
        start_s = time.monotonic()
        time.sleep(0.5)
        end_s = time.monotonic()
        assert metering.settle(end_s)
        grown_s = metering.throttle_s(start_s, end_s, devices=["GPU-1"])
        facts = metering.describe()[0]["facts"]["GPU-1"]["throttle"]
    expected = {"sw_power_cap": end_s - start_s, "hw_thermal": 0.25 * (end_s - start_s)}
    assert grown_s == {"GPU-1": pytest.approx(expected, rel=0.02)}
    assert facts["counters"] == ["sw_power_cap", "hw_thermal"]
    assert 2 <= facts["reads"] <= 6
    assert facts["errors"] == {}


def test_a_driver_without_throttle_counters_has_none(driver):
    """Nothing is made up, and nobody waits for them."""
    driver([300.0])
    with open_meters(["nvml"], gpus=gpu.discover()) as metering:
        start_s = time.monotonic()
        time.sleep(0.2)
        assert metering.settle(start_s + 0.2)
        assert metering.throttle_s(start_s, start_s + 0.1) == {}
        facts = metering.describe()[0]["facts"]["GPU-0"]["throttle"]
    assert facts == {"counters": [], "reads": 0, "errors": {}}


def test_a_mig_instance_is_told_by_its_gpu(driver):
    """Throttling and temperature of the whole GPU are the instance's too."""
    simulated = driver([300.0], mig={0})
    simulated.throttle = {75: 1.0}
    with open_meters(["nvml"], gpus=gpu.discover()[:1]) as metering:
        start_s = time.monotonic()
        time.sleep(0.2)
        metering.settle(start_s + 0.2)
        span = (start_s, start_s + 0.2)
        grown_s = metering.throttle_s(*span, devices=["MIG-0-0"])
        told = metering.telemetry(*span, devices=["MIG-0-0"])
    assert grown_s == {"GPU-0": {"thermal": pytest.approx(0.2, rel=0.1)}}
    assert told[0].temperature_c == 50


def test_throttle_counters_that_vanish_are_given_up_by_name(driver):
    """The fifth failure in a row is the last; energy goes on."""
    simulated = driver([300.0])
    simulated.throttle = {74: 1.0}
    clock_s = iter(range(99)).__next__
    counters = ThrottleCounters(simulated, 0, "GPU-0", clock_s=clock_s)
    assert counters.poll()[0].throttle_ns.keys() == {"sw_power_cap"}
    simulated.throttle = {}
    assert [counters.poll() for _ in range(9)] == [[]] * 9
    assert counters.facts() == {
        "counters": [],
        "reads": 1,
        "errors": {"throttle: a counter that was there has no value": 5},
    }
