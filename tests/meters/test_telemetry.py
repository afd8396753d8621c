"""Throttle counters between their reads."""

import pytest

from pytest_lem.meters import Telemetry
from pytest_lem.meters.telemetry import TelemetryLog


def log_of(*reads, device="GPU-a"):
    log = TelemetryLog()
    log.add(
        Telemetry(device=device, time_s=time_s, throttle_ns={"hw_thermal": ns})
        for time_s, ns in reads
    )
    return log


def test_a_counter_grows_evenly_between_two_reads():
    """Half of an interval has half of its growth; parts add up to the whole."""
    log = log_of((0.0, 0), (1.0, 10**8), (2.0, 10**9))
    parts = [
        log.throttle_s(a, b)["GPU-a"]["hw_thermal"] for a, b in ((0, 1.5), (1.5, 2))
    ]
    assert parts == [pytest.approx(0.55), pytest.approx(0.45)]
    assert log.throttle_s(0.0, 2.0) == {"GPU-a": {"hw_thermal": pytest.approx(1.0)}}


@pytest.mark.parametrize("span", [(-0.1, 1.0), (0.5, 2.1)])
def test_a_span_beyond_the_reads_is_not_told(span):
    """Nothing is extrapolated."""
    assert log_of((0.0, 0), (2.0, 5)).throttle_s(*span) == {}


def test_a_counter_that_fell_tells_nothing():
    """The driver was loaded anew."""
    assert log_of((0.0, 10**9), (1.0, 0)).throttle_s(0.2, 0.8) == {}


def test_counters_are_no_telemetry_and_are_forgotten_with_it():
    """Their entries have nothing else; a span before what was kept is not told."""
    log = log_of((0.0, 0), (1.0, 5), (2.0, 9))
    assert log.between(0.0, 3.0) == []
    log.trim(0.5)
    assert log.throttle_s(0.2, 1.5) == {}
    assert log.throttle_s(1.0, 1.5) != {}


@pytest.mark.parametrize(("end_s", "counted"), [(1.0, True), (1.5, False), (9.0, True)])
def test_only_counters_that_are_still_read_are_waited_for(end_s, counted):
    """What has been silent for seconds has been given up."""
    assert log_of((0.0, 0), (1.0, 5)).counted(end_s) is counted
