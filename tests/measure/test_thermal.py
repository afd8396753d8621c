"""Temperature and throttling, from telemetry; unknown is None."""

import pytest

from pytest_lem.measure.thermal import idle_flags, thermal, thermal_flags
from pytest_lem.measure.throttle import throttle
from pytest_lem.meters import Telemetry

SAMPLED = {
    "throttled": False,
    "method": "sampled_reasons",
    "reasons": {},
    "duration_s": 0.0,
}


def whole(block):
    """What is said of all GPUs together."""
    return {k: v for k, v in block["throttle"].items() if k != "per_device"}


def sample(time_s=0.0, device="GPU-a", **facts):
    return Telemetry(device=device, time_s=time_s, **facts)


def heated(*temperatures_c, device="GPU-a"):
    return [
        sample(float(k), device=device, temperature_c=t)
        for k, t in enumerate(temperatures_c)
    ]


def reasons(*seen):
    return [sample(float(k), throttle_reasons=r) for k, r in enumerate(seen)]


def test_no_samples_say_nothing():
    """None, not a block of zeros."""
    assert thermal([], 1.0) is None
    assert thermal_flags(None) == []


def test_what_the_samples_say():
    """First, last and highest temperature; means of clocks and load; peak power."""
    samples = [
        sample(
            0.0,
            temperature_c=50.0,
            power_w=300.0,
            utilisation_pct=90.0,
            sm_clock_mhz=1900.0,
            memory_clock_mhz=2600.0,
            throttle_reasons=(),
            pstate=2,
        ),
        sample(1.0, temperature_c=58.0, power_w=500.0, utilisation_pct=100.0),
        sample(2.0, temperature_c=56.0, power_w=400.0, sm_clock_mhz=1700.0, pstate=0),
    ]
    assert thermal(samples, 3.0) == {
        "samples": 3,
        "temperature_start_c": 50.0,
        "temperature_end_c": 56.0,
        "temperature_max_c": 58.0,
        "temperature_rise_c": 8.0,
        "power_peak_w": 500.0,
        "utilisation_mean_pct": 95.0,
        "sm_clock_mean_mhz": 1800.0,
        "memory_clock_mean_mhz": 2600.0,
        "pstate": 0,
        "starved_share": None,
        "throttle": {**SAMPLED, "per_device": {"GPU-a": SAMPLED}},
    }


def test_a_driver_that_tells_nothing_leaves_nulls():
    """Unknown throttling is None, not False."""
    block = thermal([sample()], 1.0)
    assert block["samples"] == 1
    assert whole(block) == {
        "throttled": None,
        "method": "unknown",
        "reasons": None,
        "duration_s": None,
    }
    others = {k: v for k, v in block.items() if k not in ("samples", "throttle")}
    assert set(others.values()) == {None}
    assert thermal_flags(block) == []


@pytest.mark.parametrize(
    ("reason", "flag", "throttled"),
    [
        ("sw_thermal", "throttled_thermal", True),
        ("hw_thermal", "throttled_thermal", True),
        ("hw_slowdown", "throttled_slowdown", True),
        ("hw_power_brake", "throttled_power_brake", True),
        ("sw_power_cap", "power_capped", False),
    ],
)
def test_each_reason_has_its_flag(reason, flag, throttled):
    """Running at the power limit is told, and is no throttling."""
    block = thermal(reasons((reason,), ()), 4.0)
    assert thermal_flags(block) == [flag]
    assert whole(block) == {
        "throttled": throttled,
        "method": "sampled_reasons",
        "reasons": {reason: 0.5},
        "duration_s": 2.0 if throttled else 0.0,
    }


@pytest.mark.parametrize("reason", ["gpu_idle", "display", "sync_boost", "new_in_2030"])
def test_reasons_that_slow_nothing_down_are_left_out(reason):
    """An idle clock between two requests is no throttling."""
    block = thermal(reasons((reason,)), 1.0)
    assert whole(block) == SAMPLED
    assert thermal_flags(block) == []


def test_shares_are_of_the_samples_that_know():
    """A sample without an answer counts neither way; two reasons at once count once."""
    seen = [("sw_thermal", "hw_slowdown"), (), None, ("sw_thermal",), ()]
    block = throttle(reasons(*seen), 8.0, {})
    assert block["reasons"] == {"hw_slowdown": 0.25, "sw_thermal": 0.5}
    assert (block["throttled"], block["duration_s"]) == (True, 4.0)


def test_counters_tell_what_falls_between_two_samples():
    """A GPU that has them is told by them: 40 ms of heat within 2 s is 2 %."""
    grown_s = {"GPU-a": {"sw_power_cap": 2.0, "sw_thermal": 0.04, "reliability": 1.0}}
    block = thermal(reasons((), ()), 2.0, grown_s)
    assert whole(block) == {
        "throttled": True,
        "method": "violation_counters",
        "reasons": {"sw_power_cap": 1.0, "sw_thermal": pytest.approx(0.02)},
        "duration_s": pytest.approx(0.04),
    }
    assert thermal_flags(block) == ["power_capped", "throttled_thermal"]
    assert block["throttle"]["per_device"]["GPU-a"]["counters_s"] == grown_s["GPU-a"]


def test_the_worst_gpu_stands_for_all():
    """One of four slowed down half of the time is half of the time, not an eighth."""
    seen = [sample(device=f"GPU-{k}", throttle_reasons=()) for k in range(3)]
    block = throttle(seen, 4.0, {"GPU-3": {"hw_thermal": 2.0}})
    assert block["reasons"] == {"hw_thermal": 0.5}
    assert block["duration_s"] == 2.0
    assert block["method"] == "sampled_reasons+violation_counters"
    assert block["per_device"]["GPU-0"]["throttled"] is False


def test_one_silent_gpu_leaves_all_unknown_unless_another_is_known_to_be_slow():
    """What nobody tells is not well."""
    silent = sample(device="GPU-b")
    assert throttle([*reasons(()), silent], 1.0, {})["throttled"] is None
    slow = throttle([*reasons(("hw_thermal",)), silent], 1.0, {})
    assert slow["throttled"] is True
    assert slow["per_device"]["GPU-b"]["method"] == "unknown"


@pytest.mark.parametrize(
    ("told", "starved"),
    [
        ([{"utilisation_pct": 0.0}] * 5, True),
        ([{"throttle_reasons": ("gpu_idle",)}] * 5, True),
        ([{"utilisation_pct": 0.0}] * 4, False),
        ([{"utilisation_pct": 40.0}] * 3 + [{"utilisation_pct": 1.0}] * 2, False),
        ([{}] * 9, False),
    ],
)
def test_a_gpu_without_work_half_of_the_time_is_starved(told, starved):
    """By its utilisation or its idle clocks, over five samples and more."""
    block = thermal([sample(float(k), **facts) for k, facts in enumerate(told)], 1.0)
    assert thermal_flags(block) == (["starved"] if starved else [])


def test_one_starved_gpu_among_busy_ones_is_flagged():
    """Each GPU is looked at by itself."""
    busy = [sample(device="GPU-a", utilisation_pct=99.0)] * 8
    waiting = [sample(device="GPU-b", utilisation_pct=0.0)] * 8
    assert thermal_flags(thermal([*busy, *waiting], 1.0)) == ["starved"]


@pytest.mark.parametrize(
    ("temperatures_c", "flags"),
    [
        ((50.0, 60.0), []),
        ((50.0, 60.1), ["temperature_rise"]),
        ((50.0, 65.0, 51.0), ["temperature_rise"]),
        ((65.0, 40.0), []),
        ((None, 50.0, 61.0), ["temperature_rise"]),
    ],
)
def test_a_rise_over_ten_degrees_is_flagged(temperatures_c, flags):
    """From the first to the highest."""
    assert thermal_flags(thermal(heated(*temperatures_c), 1.0)) == flags


def test_a_cool_gpu_beside_a_hot_one_is_no_rise():
    """Each GPU is compared with itself."""
    pair = [*heated(40.0, 41.0), *heated(70.0, 72.0, device="GPU-b")]
    block = thermal(pair, 1.0)
    assert block["temperature_max_c"] == 72.0
    assert block["temperature_rise_c"] == 2.0
    assert thermal_flags(block) == []
    warming = [*heated(40.0, 41.0), *heated(70.0, 81.0, device="GPU-b")]
    assert thermal_flags(thermal(warming, 1.0)) == ["temperature_rise"]


@pytest.mark.parametrize(
    ("busy_pct", "flags"),
    [
        ([0.0, 0.0, 5.0], []),
        ([90.0, 40.0, 0.0, 0.0, 0.0], []),
        ([30.0, 20.0, 30.0], ["gpu_busy_at_idle"]),
        ([None, None], []),
        ([], []),
    ],
    ids=["idle", "work that has just ended", "busy", "unknown", "no samples"],
)
def test_a_gpu_at_work_in_an_idle_reading_is_flagged(busy_pct, flags):
    """Somebody else's work: its watts are not those of idling."""
    quiet = [sample(device="GPU-b", utilisation_pct=0.0)] * 9
    busy = [sample(float(k), utilisation_pct=pct) for k, pct in enumerate(busy_pct)]
    assert idle_flags([*quiet, *busy]) == flags
