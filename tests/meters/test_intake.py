"""Meters of third parties that misbehave: one named fault each, and never a number."""

import math
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_lem.errors import ConfigError, MeterError
from pytest_lem.meters import Device, Reading
from pytest_lem.meters.metering import Metering
from pytest_lem.meters.opening import open_meters
from pytest_lem.meters.registry import Registry


class Theirs:
    """100 W by a counter; `spoil` changes each reading before it is told."""

    name = "theirs"
    version = "1"
    basis = "measured"
    accuracy = "none"
    period_s = 0.01
    wait_s = 0.01

    def __init__(self, spoil=lambda reading: reading, devices=("wall",)):
        self.spoil = spoil
        self.ids = devices

    def devices(self):
        return [
            Device(id=one, scope="gpu", name=one, refresh_s=0.0) for one in self.ids
        ]

    def poll(self):
        now_s = time.monotonic()
        reading = Reading(
            device="wall", before_s=now_s, after_s=now_s, energy_j=100 * now_s
        )
        return [self.spoil(reading)], [], self.wait_s

    def facts(self):
        return {}

    def close(self):
        pass


def measured(meter):
    with Metering([meter]) as metering:
        start_s = time.monotonic()
        time.sleep(0.2)
        end_s = time.monotonic()
        metering.settle(end_s, timeout_s=0.5)
        reading = metering.energy(start_s, end_s)
        return reading, end_s - start_s, metering.describe()[0]


def changed(**fields):
    return lambda reading: replace(reading, **fields)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (changed(energy_j=math.nan), "wall told nan; joules and watts are finite"),
        (changed(energy_j=-5.0), "wall told -5.0; joules and watts are finite"),
        (changed(energy_j=None), "wall told nothing; joules"),
        (changed(energy_j=None, power_w=math.inf), "wall told inf; joules"),
        (changed(device="roof"), r"'roof', which is none of its devices \(wall\)"),
        (changed(after_s=0.0), "wall was read from .* to 0.0 s"),
        (lambda r: replace(r, before_s=time.time(), after_s=time.time()), "day ahead"),
    ],
)
def test_a_reading_that_cannot_be_is_refused_by_name(spoil, told):
    """The meter is given up with the fault as its reason; energy is null."""
    reading, _, described = measured(Theirs(spoil))
    assert reading.gross_j is None
    assert set(reading.flags) >= {"sampler_failed", "readings_refused"}
    with pytest.raises(MeterError, match=told):
        raise MeterError(described["sampler"]["reason"])


def test_a_clock_that_runs_backwards_is_refused():
    """Readings come in order of time; out of order they would be other joules."""
    began_s = time.monotonic()

    def backwards(reading):
        then_s = 2 * began_s - reading.before_s
        return replace(reading, before_s=then_s, after_s=then_s)

    reading, _, described = measured(Theirs(backwards))
    assert reading.gross_j is None
    assert "before its last reading" in described["sampler"]["reason"]


def test_now_and_then_a_wrong_reading_is_left_out_and_flagged():
    """The joules of the good ones stand, with a flag."""
    polls = iter(range(10**6))

    def spoil(reading):
        return replace(reading, energy_j=math.nan) if next(polls) % 10 == 9 else reading

    reading, seconds, _ = measured(Theirs(spoil))
    assert reading.gross_j == pytest.approx(100 * seconds, rel=0.02)
    assert "readings_refused" in reading.flags


@pytest.mark.parametrize("wait_s", [math.nan, -1.0, math.inf])
def test_a_wait_that_is_no_time_ends_that_meter_and_not_the_sampler(wait_s):
    """The other meters of the run go on."""
    broken, good = Theirs(), Theirs()
    broken.wait_s = wait_s
    with Metering([good, broken]) as metering:
        start_s = time.monotonic()
        time.sleep(0.2)
        end_s = time.monotonic()
        metering.settle(end_s, timeout_s=0.5)
        energy_j = metering.energy(start_s, end_s).gross_j
        state = metering.describe()[1]["sampler"]
    assert energy_j == pytest.approx(100 * (end_s - start_s), rel=0.02)
    assert state["reason"] == f"MeterError: it wants to be asked again in {wait_s} s"


class Raising(Theirs):
    """Each of its methods but `poll` raises."""

    def devices(self):
        raise RuntimeError("no bus")

    def facts(self):
        raise RuntimeError("no facts")

    def close(self):
        raise RuntimeError("no end")


def opened(make):
    registry = Registry()
    registry.add("theirs", make)
    return open_meters(["theirs"], gpus=[], registry=registry)


def with_attribute(name, value):
    meter = Theirs()
    setattr(meter, name, value)
    return meter


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda *_: 1 / 0, "making it raised ZeroDivisionError"),
        (lambda *_: Theirs(devices=()), "it has no devices"),
        (lambda *_: Theirs(devices=("a", "a")), "it has two devices 'a'"),
        (lambda *_: with_attribute("basis", "guessed"), "its basis is 'guessed'; a"),
        (lambda *_: with_attribute("period_s", 0.0), "its period_s is 0.0, which is"),
        (
            lambda *_: SimpleNamespace(close=list),
            "it has no name, version, basis, accuracy",
        ),
    ],
)
def test_a_meter_that_cannot_be_one_is_an_error_when_it_is_opened(make, told):
    """One line names the meter and what is wrong with it."""
    with pytest.raises(MeterError, match=told):
        opened(make)


def test_what_it_raises_when_asked_is_told_by_name():
    """Its devices are an error, its end a warning."""
    with pytest.warns(UserWarning, match="closing the meter theirs raised .* no end"):
        with pytest.raises(MeterError, match="devices raised RuntimeError: no bus"):
            opened(lambda *_: Raising())


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (Raising().facts, {"error": "RuntimeError: no facts"}),
        (list, {"error": "TypeError: facts() gave a list, not a dict"}),
        (lambda: {"bus": Path("/dev/i2c")}, {"bus": "/dev/i2c"}),
    ],
)
def test_facts_are_plain_data_in_the_record_or_say_why_not(facts, told):
    """What JSON has no word for is written as text."""
    meter = Theirs()
    meter.facts = facts
    assert measured(meter)[2]["facts"] == told


@pytest.mark.parametrize("name", ["", "a:b", "a,b", "a b"])
def test_a_name_that_no_option_could_hold_is_refused(name):
    """`--lem-meter` is split at commas, and at the first colon."""
    with pytest.raises(ConfigError, match="no colon, comma or blank"):
        Registry().add(name, "module:factory")
