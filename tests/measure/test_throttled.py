"""What `--lem-throttle` makes of windows in which a GPU was slowed down."""

import json
import time

import pytest

from pytest_lem.errors import Throttled
from pytest_lem.measure.cycle import run_cycle
from pytest_lem.measure.thermal import thermal
from pytest_lem.measure.throttle import faults
from pytest_lem.meters import Telemetry
from pytest_lem.meters.fake import FakeMeter
from pytest_lem.meters.trace.tape import Tape

ON_GPU = """
from dataclasses import replace
class Odd(FakeEngine):
    def load(self, spec):
        return replace(super().load(spec), devices=["cuda:0"])
"""


class Thermometer(FakeMeter):
    """The fake meter, with the reasons that a GPU gives every few milliseconds.

    As if replayed: then its telemetry stands in for that of GPUs there are not.
    """

    basis = "replayed"

    def __init__(self, reasons):
        super().__init__(50.0)
        self.reasons = reasons

    def poll(self):
        readings, _, wait_s = super().poll()
        telemetry = Telemetry(
            device="GPU-a", time_s=time.monotonic(), throttle_reasons=self.reasons
        )
        return readings, [telemetry], wait_s


class Counting(Thermometer):
    """The same with a counter, by which the GPU is too hot a quarter of the time."""

    def poll(self):
        readings, telemetry, wait_s = super().poll()
        now_s = time.monotonic()
        counters = Telemetry(
            device="GPU-a",
            time_s=now_s,
            throttle_ns={"hw_thermal": round(now_s * 0.25e9)},
        )
        return readings, [*telemetry, counters], wait_s


@pytest.fixture
def cycle(make_lab, experiment, odd_engine):
    """The cycle that was kept of a run with these reasons, and its error."""

    def cycle(meter, throttle, *, engine=ON_GPU):
        entry = odd_engine(engine) if engine else None
        lab = make_lab(meter, engine=entry, throttle=throttle)
        kept, error = [], None
        try:
            run_cycle(lab, experiment(script={"prefill_s": 0.2}), 0, kept.append)
        except Throttled as caught:
            error = caught
        return kept[0], error

    return cycle


@pytest.mark.parametrize(
    ("reasons", "fails"),
    [
        (("sw_thermal",), True),
        (("hw_thermal",), True),
        (("hw_power_brake", "sw_power_cap"), True),
        (("hw_slowdown",), False),
        (("sw_power_cap",), False),
        (("gpu_idle",), False),
        ((), False),
    ],
)
def test_heat_and_the_power_brake_fail_the_cycle_if_asked(cycle, reasons, fails):
    """By name and with the reason; the power cap and clock changes do not."""
    kept, error = cycle(Thermometer(reasons), "fail")
    assert kept.status == ("failed" if fails else "complete")
    assert "throttle_unknown" not in kept.flags
    if fails:
        assert kept.error.kind == error.kind == "throttled"
        assert f"energy window 0: {reasons[0]} 100%" in str(error)
        assert "--lem-throttle=fail" in str(error)


def test_a_counter_sees_what_no_sample_saw(cycle):
    """Samples without a reason do not speak against it."""
    kept, error = cycle(Counting(()), "fail")
    assert kept.error.kind == "throttled"
    assert "energy window 0: hw_thermal 25%" in str(error)
    (told,) = kept.windows[0].thermal["throttle"]["per_device"].values()
    assert told["method"] == "violation_counters"


def test_by_default_it_is_a_flag(cycle):
    """The cycle counts, and says what happened."""
    kept, error = cycle(Thermometer(("hw_thermal",)), "warn")
    assert (kept.status, error) == ("complete", None)
    assert all("throttled_thermal" in window.flags for window in kept.windows)


@pytest.mark.parametrize("meter", [FakeMeter(50.0), Thermometer(None)])
def test_what_nobody_tells_is_unknown_and_not_well(cycle, meter):
    """Without telemetry, or reasons in it, the cycle is flagged."""
    kept, _ = cycle(meter, "fail")
    assert kept.status == "complete"
    assert "throttle_unknown" in kept.flags


@pytest.fixture
def attempts(make_lab, experiment, odd_engine, monkeypatch, tmp_path):
    """The cycles that were kept, where so many attempts are too hot."""
    monkeypatch.setattr("pytest_lem.measure.cooling.REST_BLIND_S", 0.01)

    def attempts(hot, **conditions):
        meter = Thermometer(("hw_thermal",) if hot else ())
        kept = []

        def keep(cycle):
            kept.append(cycle)
            meter.reasons = ("hw_thermal",) if len(kept) < hot else ()

        engine = odd_engine(ON_GPU)
        lab = make_lab(meter, engine=engine, throttle="rerun", **conditions)
        lab.metering.record(attempts.tape)
        one = experiment(script={"prefill_s": 0.1})
        assert run_cycle(lab, one, 7, keep) is kept[-1]
        return kept

    attempts.tape = Tape(tmp_path / "tape")
    return attempts


def test_a_throttled_cycle_is_run_again_until_it_is_not(attempts):
    """With a fresh engine and the same prompts; all attempts are kept, one counts."""
    first, second, last = attempts(2)
    assert [first.status, second.status, last.status] == ["rerun", "rerun", "complete"]
    assert [first.attempt, second.attempt, last.attempt] == [0, 1, 2]
    assert {one.index for one in (first, second, last)} == {7}
    assert first.error.kind == "throttled"
    assert "--lem-throttle=rerun" in first.error.message
    assert len({one.worker["pid"] for one in (first, second, last)}) == 3
    digests = [[w.token_sha256 for w in one.windows] for one in (first, last)]
    assert digests[0] == digests[1]
    attempts.tape.flush()
    marks = map(json.loads, attempts.tape.marks())
    windows = [mark for mark in marks if mark["name"] == "window"]
    assert {mark["cycle"] for mark in windows} == {7}
    assert [mark.get("attempt") for mark in windows] == [
        attempt for attempt in (None, 1, 2) for _ in first.windows
    ]


def test_the_last_attempt_counts_whatever_it_was_like(attempts):
    """Flagged, where it was no better than those before."""
    first, last = attempts(9, throttle_reruns=1)
    assert (first.status, last.status) == ("rerun", "complete")
    assert "throttled_after_reruns" in last.flags


def test_a_cool_cycle_is_not_run_again(attempts):
    """Its only attempt counts."""
    (only,) = attempts(0)
    assert (only.status, only.attempt) == ("complete", 0)


def test_without_a_gpu_there_is_nothing_to_slow_down(cycle):
    """A cycle on the CPU is not flagged."""
    kept, _ = cycle(FakeMeter(50.0), "fail", engine=None)
    assert "throttle_unknown" not in kept.flags


def test_shares_are_of_the_window_s_samples():
    """Half of the samples with a reason are 50 %; no reasons are an empty list."""
    told = [("sw_thermal",), (), ("sw_power_cap",), ("sw_thermal", "hw_power_brake")]
    samples = [
        Telemetry(device="GPU-a", time_s=float(k), throttle_reasons=reasons)
        for k, reasons in enumerate(told)
    ]
    assert faults(thermal(samples, 4.0)) == ["hw_power_brake 25%", "sw_thermal 50%"]
    assert faults(thermal(samples[1:3], 2.0)) == []
    assert faults(None) is None
