"""The driver's ring of power samples, moved to the monotonic clock."""

# ruff: noqa: N802  the simulated driver has NVML's own names

from itertools import pairwise
from types import SimpleNamespace

import pytest

from pytest_lem.meters.nvml.ring import PowerRing

BOOT_S = 1_700_000_000.0


class NVMLError(Exception):
    def __init__(self, value):
        super().__init__(f"code {value}")
        self.value = value


class Driver:
    """A ring of 120 samples, 20 ms apart, and the two clocks of its host."""

    NVMLError = NVMLError
    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_ERROR_NOT_FOUND = 6
    NVML_TOTAL_POWER_SAMPLES = 0

    def __init__(self):
        self.now_s = 100.0
        self.offset_s = BOOT_S
        self.error = None
        self.calls = 0
        self.kind, self.member = 1, "uiVal"
        self.ring = []
        self.wait(3.0)

    def wait(self, seconds):
        for _ in range(round(seconds / 0.02)):
            self.now_s += 0.02
            stamp_us = round((self.now_s + self.offset_s) * 1e6)
            power_mw = round(self.now_s * 1e3)
            self.ring = [*self.ring[-119:], (stamp_us, power_mw)]

    def clock_s(self):
        return self.now_s

    def wall_s(self):
        return self.now_s + self.offset_s

    def nvmlDeviceGetSamples(self, handle, kind, last_seen_us):
        self.calls += 1
        if self.error is not None:
            raise NVMLError(self.error)
        found = [
            SimpleNamespace(
                timeStamp=stamp_us, sampleValue=SimpleNamespace(**{self.member: power})
            )
            for stamp_us, power in self.ring
            if stamp_us > last_seen_us
        ]
        if not found:
            raise NVMLError(self.NVML_ERROR_NOT_FOUND)
        return self.kind, found


@pytest.fixture
def driver():
    return Driver()


@pytest.fixture
def ring(driver):
    return PowerRing(driver, 0, "g", clock_s=driver.clock_s, wall_s=driver.wall_s)


def true_to_clock(readings):
    """The simulated power is the monotonic time at which it was taken."""
    assert all(reading.before_s == reading.after_s for reading in readings)
    return all(abs(reading.ring_w - reading.before_s) < 2e-3 for reading in readings)


def polled(driver, ring, seconds, every_s=0.1):
    readings = []
    for _ in range(round(seconds / every_s)):
        driver.wait(every_s)
        readings += ring.poll()
    return readings


def test_samples_come_once_each_on_the_monotonic_clock(driver, ring):
    """Polls overlap the ring; no stamp is handed on twice and none is lost."""
    readings = ring.poll() + polled(driver, ring, 5.0)
    times = [reading.before_s for reading in readings]
    assert true_to_clock(readings)
    assert times == sorted(set(times))
    assert len(times) == pytest.approx(120 + 5.0 / 0.02, abs=30)
    assert max(b - a for a, b in pairwise(times)) < 0.021
    assert ring.facts()["samples"] == len(times)


def test_the_driver_is_asked_at_most_twice_a_second(driver, ring):
    """However often the meter polls."""
    polled(driver, ring, 10.0, every_s=0.02)
    assert driver.calls <= 21


@pytest.mark.parametrize("step_s", [3600.0, 1.0, 0.03, -0.03, -1.0, -3600.0])
def test_a_step_of_the_wall_clock_misplaces_no_sample(driver, ring, step_s):
    """Around the step samples are left out; all that come are where they belong."""
    readings = polled(driver, ring, 2.0)
    driver.offset_s += step_s
    stepped_s = driver.now_s
    readings += polled(driver, ring, 8.0)
    assert true_to_clock(readings)
    assert ring.facts()["clock_steps"] == 1
    later = [reading for reading in readings if reading.before_s > stepped_s]
    assert len(later) > 4.0 / 0.02
    times = [reading.before_s for reading in readings]
    assert times == sorted(set(times))


def test_a_slewed_clock_is_followed(driver, ring):
    """Half a millisecond a second is no step."""
    readings = []
    for _ in range(100):
        driver.offset_s += 5e-5
        readings += polled(driver, ring, 0.1)
    assert true_to_clock(readings)
    assert ring.facts()["clock_steps"] == 0


def test_an_unsupported_ring_is_asked_once(driver, ring):
    """The reason is in the facts, and nothing is raised."""
    driver.error = driver.NVML_ERROR_NOT_SUPPORTED
    assert polled(driver, ring, 5.0) == []
    assert driver.calls == 1
    assert ring.facts()["given_up"] == "code 3"
    assert ring.facts()["errors"] == {"ring: code 3": 1}


def test_other_errors_give_it_up_at_the_fifth_in_a_row(driver, ring):
    """One that passes is counted and forgiven."""
    driver.error = 15
    polled(driver, ring, 1.0)
    driver.error = None
    assert polled(driver, ring, 1.0)
    driver.error = 15
    polled(driver, ring, 9.0)
    assert ring.facts()["given_up"] == "code 15"
    assert ring.facts()["errors"]["ring: code 15"] < 9


def test_nothing_new_is_no_error(driver, ring):
    """The driver answers `not found` when no sample is newer."""
    ring.poll()
    driver.now_s += 1.0
    assert ring.poll() == []
    assert ring.facts()["errors"] == {}


@pytest.mark.parametrize("member", ["dVal", "uiVal", "ulVal", "ullVal", "sllVal"])
def test_the_value_is_read_as_the_type_it_has(driver, ring, member):
    """The driver names the member of the union that it filled."""
    driver.kind = ["dVal", "uiVal", "ulVal", "ullVal", "sllVal"].index(member)
    driver.member = member
    readings = ring.poll()
    assert readings
    assert true_to_clock(readings)


def test_stamps_of_another_clock_are_rejected(driver, ring):
    """Stamps that are no wall-clock time are counted, and never placed."""
    driver.ring = [(round(driver.now_s * 1e6) + k, 100_000) for k in range(1, 20)]
    assert ring.poll() == []
    assert ring.facts()["rejected"] == 19
