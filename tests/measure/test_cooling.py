"""Waiting for a temperature: on a clock that moves only by waiting."""

from types import SimpleNamespace

import pytest

from pytest_lem.errors import MeterError
from pytest_lem.measure.cooling import (
    FRESH_S,
    REST_BLIND_S,
    REST_S,
    ThermalPolicy,
    cool_down,
    hottest,
    rest,
)
from pytest_lem.measure.cycle import run_cycle
from pytest_lem.meters import Telemetry
from pytest_lem.meters.fake import FakeMeter
from pytest_lem.meters.telemetry import TelemetryLog


class Room:
    """GPUs whose temperatures are functions of time, told whenever time passes."""

    def __init__(self, **heat_c):
        self.now_s = 100.0
        self.heat_c = heat_c
        self.log = TelemetryLog()
        self.telemetry = self.log.between
        self.shown = []
        self.wait(0.0)

    def wait(self, seconds):
        self.now_s += seconds
        self.log.add(
            Telemetry(device=name, time_s=self.now_s, temperature_c=told(self.now_s))
            for name, told in self.heat_c.items()
        )

    def cool_down(self, limit_c, timeout_s, *devices):
        policy = ThermalPolicy(limit_c=limit_c, timeout_s=timeout_s, devices=devices)
        return cool_down(self, policy, wait=self.wait, show=self.shown.append)


@pytest.fixture
def room(monkeypatch):
    """Make the one room that there is; its clock is everybody's."""

    def make(**heat_c):
        made = Room(**heat_c)
        clock = SimpleNamespace(monotonic=lambda: made.now_s)
        monkeypatch.setattr("pytest_lem.measure.cooling.time", clock)
        return made

    return make


def test_what_is_cool_enough_does_not_wait(room):
    """At the limit is cool enough; nothing is shown."""
    cool = room(a=lambda _: 50.0)
    assert cool.cool_down(50.0, 60.0, "a")
    assert (cool.now_s, cool.shown) == (100.0, [])


def test_it_waits_until_every_gpu_is_cool(room):
    """One degree a second from 60 and 70: the warmer one decides, and is shown."""
    warm = room(a=lambda t: 160 - t, b=lambda t: 170 - t)
    assert warm.cool_down(50.0, 60.0, "a", "b")
    assert warm.now_s == pytest.approx(120.0)
    assert warm.shown[0] == "cooling from 70 C to 50 C"
    assert warm.shown[-1] == "cooling from 50.5 C to 50 C"


def test_gpus_of_others_do_not_matter(room):
    """Only those of the run are waited for."""
    assert room(a=lambda _: 40.0, b=lambda _: 90.0).cool_down(50.0, 1.0, "a")


def test_time_is_up(room):
    """It stays too warm: False, after exactly the limit."""
    warm = room(a=lambda _: 70.0)
    assert not warm.cool_down(50.0, 7.3, "a")
    assert warm.now_s == pytest.approx(107.3)


def test_a_gpu_that_says_nothing_is_named(room):
    """Another one's temperature does not stand for it."""
    half = room(a=lambda _: 40.0, b=lambda _: None)
    with pytest.raises(MeterError, match=r"--lem-thermal: no meter tells .* of b;"):
        half.cool_down(50.0, 60.0, "a", "b")
    assert half.now_s == pytest.approx(100.0 + FRESH_S)


def test_a_temperature_that_comes_late_is_waited_for(room):
    """The first telemetry may take a moment."""
    late = room(a=lambda t: None if t < 102 else 45.0)
    assert hottest(late, ["a"], wait=late.wait) == 45.0


def test_an_old_temperature_is_none(room):
    """What was said before the last five seconds is not believed."""
    silent = room(a=lambda t: 45.0 if t < 101 else None)
    silent.wait(FRESH_S + 1.0)
    with pytest.raises(MeterError, match="of a;"):
        hottest(silent, ["a"], wait=silent.wait)


@pytest.mark.parametrize(
    ("heat_c", "waited_s"),
    [
        (lambda t: 60.0, 10.0),
        (lambda t: 60 + round(2 * t) % 2, 10.0),
        (lambda t: 180.0 - t if t < 130 else 50.0, 38.0),
    ],
    ids=["steady", "flickering", "cooling, then steady"],
)
def test_stable_is_less_than_a_degree_in_ten_seconds(room, heat_c, waited_s):
    """Whatever the temperature is; a sensor between two degrees is steady."""
    there = room(a=heat_c)
    assert there.cool_down(None, 60.0, "a")
    assert there.now_s - 100.0 == pytest.approx(waited_s, abs=4.0)
    assert there.shown[0].endswith("C to a steady one")


def test_what_never_is_steady_runs_out_of_time(room):
    """A degree every five seconds, for ever."""
    there = room(a=lambda t: t / 5)
    assert not there.cool_down(None, 30.0, "a")


def window_at(heat_c):
    return SimpleNamespace(thermal=heat_c and {"temperature_max_c": heat_c})


@pytest.mark.parametrize(
    ("told_c", "windows", "waited_s"),
    [
        (lambda t: 190 - t, [window_at(85.0), window_at(90.0)], 10.0),
        (lambda t: 90.0, [window_at(90.0)], REST_S),
        (lambda t: 90.0, [window_at(None)], REST_BLIND_S),
        (lambda t: None, [window_at(90.0)], REST_BLIND_S),
    ],
)
def test_hot_gpus_rest_until_they_are_ten_degrees_cooler(
    room, told_c, windows, waited_s
):
    """Or two minutes; or half a minute where nobody tells."""
    hot = room(a=told_c)
    rest(hot, windows, wait=hot.wait, show=hot.shown.append)
    assert hot.now_s - 100.0 == pytest.approx(waited_s)
    assert hot.shown


def policy(limit_c):
    """Wait a moment for GPU-a."""
    return ThermalPolicy(limit_c=limit_c, timeout_s=0.01, devices=("GPU-a",))


@pytest.mark.parametrize(("limit_c", "late"), [(60.0, False), (40.0, True)])
def test_the_cycle_says_whether_it_began_cool(
    make_lab, warm, experiment, measure, limit_c, late
):
    """Too warm when time is up: measured and flagged, after a line that says so."""
    lab = make_lab(warm(50.0), thermal=policy(limit_c))
    cycle = measure(lab, experiment())
    assert cycle.status == "complete"
    assert ("thermal_wait_timeout" in cycle.flags) is late
    assert cycle.timing["thermal_wait_s"] >= (0.01 if late else 0.0)
    first = f"cooling from 50 C to {limit_c:g} C" if late else "start fake"
    assert lab.progress.phases[0] == first


def test_without_the_option_nothing_is_waited_for(make_lab, warm, experiment, measure):
    """Null, which is not a wait of no time."""
    cycle = measure(make_lab(warm(90.0)), experiment())
    assert cycle.timing["thermal_wait_s"] is None


def test_a_temperature_that_nobody_tells_fails_the_cycle(
    make_lab, experiment, monkeypatch
):
    """Named as the meter's failure, and found by the check before any cycle as well."""
    monkeypatch.setattr("pytest_lem.measure.cooling.FRESH_S", 0.1)
    lab = make_lab(FakeMeter(50.0), thermal=policy(60.0))
    with pytest.raises(MeterError, match="GPU-a"):
        lab.check_thermal()
    kept = []
    with pytest.raises(MeterError, match="GPU-a"):
        run_cycle(lab, experiment(), 0, kept.append)
    assert kept[0].error.kind == "meter"


def test_the_check_is_content_with_a_temperature(make_lab, warm):
    """Whatever it is; without the option there is nothing to check."""
    make_lab(warm(90.0), thermal=policy(60.0)).check_thermal()
    make_lab().check_thermal()
