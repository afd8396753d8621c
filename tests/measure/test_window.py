"""Costing a pass: its energy, net of idle power, and what else is known of it."""

import pytest

from pytest_lem.analysis.net import IdleWatts
from pytest_lem.measure.window import cost, stamps, tokens
from pytest_lem.records.spread import figures


def watts(power_w):
    return IdleWatts(power_w=power_w)


@pytest.fixture
def busy(cranked, make_pass):
    """Ten idle seconds at 100 W, then a pass of seven at 400 W, then some more."""
    cranked.wait(10.0)
    cranked.power_w = 400.0
    cranked.wait(7.0)
    cranked.power_w = 100.0
    cranked.wait(3.0)
    assert cranked.metering.settle(120.0)
    return make_pass(110.0, 117.0)


def test_net_is_gross_less_idle_power_times_seconds(cranked, busy):
    """Of 400 W with 100 W idle a quarter is removed, and the share is told."""
    window, reason = cost(busy, cranked.metering, ["cpu"], watts(100.0))
    assert reason is None
    assert window.energy.gross_j == pytest.approx(2800.0)
    assert window.energy.net_j == pytest.approx(2100.0)
    assert window.energy.idle_share == pytest.approx(0.25)
    assert (window.energy.meter, window.energy.basis) == ("hand_cranked", "synthetic")
    assert "synthetic_energy" in window.flags
    assert "net_clamped" not in window.flags


@pytest.mark.parametrize("idle_w", [None, 0.0, 100.0, 1e6])
def test_gross_is_the_same_whatever_the_idle_power(cranked, busy, idle_w):
    """Net stands beside gross and never in its place."""
    idle = None if idle_w is None else watts(idle_w)
    window, _ = cost(busy, cranked.metering, ["cpu"], idle)
    assert window.energy.gross_j == pytest.approx(2800.0)
    assert window.energy.uncertainty_j is not None


def test_without_an_idle_reading_there_is_no_net(cranked, busy):
    """Null, and no share."""
    window, _ = cost(busy, cranked.metering, ["cpu"], None)
    assert (window.energy.net_j, window.energy.idle_share) == (None, None)


def test_idle_power_above_the_power_measured_is_clamped_and_flagged(cranked, busy):
    """Energy below zero is no energy."""
    window, _ = cost(busy, cranked.metering, ["cpu"], watts(401.0))
    assert (window.energy.net_j, window.energy.idle_share) == (0.0, 1.0)
    assert "net_clamped" in window.flags


def test_a_counter_that_stood_still_is_null_and_nothing_is_clamped(cranked, make_pass):
    """No joules are no measurement, whatever the idle power."""
    cranked.power_w = 0.0
    cranked.wait(5.0)
    assert cranked.metering.settle(105.0)
    window, reason = cost(
        make_pass(101.0, 104.0), cranked.metering, ["cpu"], watts(10.0)
    )
    assert (window.energy.gross_j, window.energy.net_j) == (None, None)
    assert reason == "counter_unchanged: hand_cranked:0"
    assert "net_clamped" not in window.flags


def test_a_span_that_was_not_metered_is_null_with_the_reason(cranked, make_pass):
    """A pass before the meter's first reading."""
    window, reason = cost(
        make_pass(90.0, 95.0), cranked.metering, ["cpu"], watts(100.0)
    )
    assert reason == "not_covered: hand_cranked:0"
    assert (window.energy.gross_j, window.energy.net_j) == (None, None)
    assert "net_clamped" not in window.flags
    assert window.throughput["output_tps"] == pytest.approx(20 / 5)


@pytest.mark.parametrize(
    ("share", "flagged"), [(1.0, False), (0.991, False), (0.989, True), (0.5, True)]
)
def test_time_outside_generation_over_one_percent_is_flagged(
    cranked, busy, make_pass, share, flagged
):
    """Window and inference seconds are both told."""
    run = make_pass(110.0, 117.0, share=share)
    window, _ = cost(run, cranked.metering, ["cpu"], None)
    assert window.duration_s == pytest.approx(7.0)
    assert window.inference_s == pytest.approx(7.0 * share)
    assert ("host_overhead" in window.flags) is flagged


def test_tokens_and_rates_are_the_engines_own_counts(cranked, busy):
    """Output tokens per second and all tokens per second are two things."""
    window, _ = cost(busy, cranked.metering, ["cpu"], None)
    assert window.tokens.model_dump() == {"input": 60, "output": 20, "padding": 0}
    assert window.tokens == tokens(busy.generation)
    assert window.throughput == {
        "output_tps": pytest.approx(20 / 7),
        "input_tps": pytest.approx(60 / 7),
        "total_tps": pytest.approx(80 / 7),
        "request_rps": pytest.approx(2 / 7),
        "mode": "batch",
    }
    assert window.latency["method"] == "per_request_batch"
    assert window.latency["e2e_ms"]["mean"] == pytest.approx(7000.0)


def test_figures_are_the_windows_raw_numbers(cranked, busy):
    """What metrics are derived from."""
    window, _ = cost(busy, cranked.metering, ["cpu"], watts(100.0))
    found = figures(window)
    assert (found.input_tokens, found.output_tokens, found.requests) == (60, 20, 2)
    assert found.gross_j == window.energy.gross_j
    assert found.net_j == window.energy.net_j
    assert (found.cpu_j, found.dram_j) == (None, None)
    assert found.duration_s == pytest.approx(7.0)


def test_a_latency_pass_leaves_its_first_requests_out(cranked, busy, make_pass):
    """They warm the path up and enter no distribution, but the tokens they cost."""
    run = make_pass(110.0, 117.0, requests=5, kind="latency", left_out=2)
    assert len(stamps(run)) == 3
    window, _ = cost(run, cranked.metering, ["cpu"], None)
    assert (window.latency["requests"], window.latency["left_out"]) == (3, 2)
    assert window.latency["method"] == "true_streaming"
    assert window.throughput["mode"] == "streaming"
    assert (window.requests, window.tokens.output) == (5, 50)


def test_telemetry_of_the_devices_used_is_the_windows(cranked, make_pass):
    """What lies inside the window counts; other devices and instants do not."""
    cranked.meter.tell(temperature_c=90.0)
    cranked.wait(1.0)
    cranked.meter.tell(temperature_c=50.0, throttle_reasons=("sw_thermal",))
    cranked.wait(1.0)
    assert cranked.metering.settle(102.0)
    run = make_pass(100.5, 101.5)
    used, _ = cost(run, cranked.metering, ["hand_cranked:0"], None)
    assert used.thermal["temperature_max_c"] == 50.0
    assert "throttled_thermal" in used.flags
    other, _ = cost(run, cranked.metering, ["cpu"], None)
    assert other.thermal is None
