"""The table of metrics, and the formulas behind it."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_lem.analysis.metrics import (
    HEADLINES,
    METRICS,
    PhaseFigures,
    WindowFigures,
    emissions_g,
    indices,
    pooled,
    pooled_phases,
    ratio,
    total,
)

UNITS = {
    "_j": {"J", "J/token", "J/request"},
    "_s": {"s"},
    "_ms": {"ms"},
    "_w": {"W"},
    "_tps": {"token/s"},
    "_rps": {"request/s"},
    "_mb": {"MB"},
    "_g_co2e": {"g"},
    "_js": {"J*s"},
    "_js2": {"J*s2"},
    "tokens_per_joule": {"token/J"},
    "tokens_per_gb_vram": {"token/GB"},
    "token_efficiency_index": {"token2/(J*s)"},
    "flops": {"FLOP"},
    "flops_per_output_token": {"FLOP/token"},
    "flops_per_input_token": {"FLOP/token"},
    "flops_per_joule": {"FLOP/J"},
    "mfu": {"1"},
    "mbu": {"1"},
    "attainment": {"1"},
    "perplexity": {"1"},
    "goodput_per_joule": {"request/J"},
}


def figures(**changed):
    values = {
        "duration_s": 2.0,
        "input_tokens": 300,
        "output_tokens": 100,
        "requests": 4,
        "gross_j": 500.0,
        "net_j": 400.0,
        "uncertainty_j": 3.0,
        "net_uncertainty_j": 5.0,
        "cpu_j": 60.0,
        "dram_j": 20.0,
    }
    return WindowFigures(**{**values, **changed})


@pytest.mark.parametrize("metric", METRICS)
def test_every_name_ends_in_its_unit(metric):
    """A number in a file says what it is counted in."""
    ends = [units for end, units in UNITS.items() if metric.endswith(end)]
    assert ends, metric
    assert any(METRICS[metric].unit in units for units in ends)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_says_what_it_is_and_which_way_is_better(metric):
    """A table of verdicts needs both."""
    info = METRICS[metric]
    assert info.better in ("lower", "higher", None)
    assert len(info.meaning) > 5
    if metric.endswith(("_tps", "_rps")) or metric == "tokens_per_joule":
        assert info.better == "higher"
    if metric.startswith(("energy_per_", "ttft", "tpot", "itl", "e2e")):
        assert info.better == "lower"


def test_headlines_are_metrics():
    """The one number of a test is in the table."""
    assert set(HEADLINES) <= set(METRICS)


def test_everything_pooled_is_in_the_table():
    """No metric is computed without a unit."""
    assert set(pooled([figures()])) <= set(METRICS)


def test_one_window_by_hand():
    """500 J, 2 s, 4 requests of 75 tokens in and 25 out."""
    assert pooled([figures()]) == {
        "energy_per_output_token_j": 5.0,
        "energy_per_output_token_net_j": 4.0,
        "energy_per_total_token_j": 1.25,
        "energy_per_request_j": 125.0,
        "tokens_per_joule": 0.2,
        "energy_gross_j": 500.0,
        "energy_net_j": 400.0,
        "energy_uncertainty_j": 3.0,
        "energy_net_uncertainty_j": 5.0,
        "energy_cpu_j": 60.0,
        "energy_ram_j": 20.0,
        "avg_power_w": 250.0,
        "output_throughput_tps": 50.0,
        "input_throughput_tps": 150.0,
        "total_throughput_tps": 200.0,
        "request_throughput_rps": 2.0,
        "duration_s": 2.0,
    }


def test_windows_are_pooled_as_ratios_of_sums():
    """A long window weighs more than a short one; uncertainties add in quadrature."""
    long = figures(duration_s=8.0, gross_j=500.0, uncertainty_j=4.0)
    found = pooled([figures(), long])
    assert found["energy_gross_j"] == 1000.0
    assert found["duration_s"] == 10.0
    assert found["avg_power_w"] == 100.0
    assert found["output_throughput_tps"] == 20.0
    assert found["energy_uncertainty_j"] == 5.0


PARTS = {
    "gross_j": {
        "energy_gross_j",
        "energy_per_output_token_j",
        "energy_per_total_token_j",
        "energy_per_request_j",
        "tokens_per_joule",
        "avg_power_w",
    },
    "net_j": {"energy_net_j", "energy_per_output_token_net_j"},
    "uncertainty_j": {"energy_uncertainty_j", "energy_net_uncertainty_j"},
    "net_uncertainty_j": {"energy_net_uncertainty_j"},
    "cpu_j": {"energy_cpu_j"},
    "dram_j": {"energy_ram_j"},
}


@pytest.mark.parametrize(("part", "gone"), PARTS.items())
def test_a_part_missing_in_one_window_is_missing_in_the_sum(part, gone):
    """What is not known of one window is not known of all; the rest is untouched."""
    whole = pooled([figures(), figures()])
    found = pooled([figures(), figures(**{part: None})])
    assert {name for name, value in found.items() if value is None} == gone
    assert all(found[name] == whole[name] for name in found.keys() - gone)


def test_no_output_tokens_is_no_energy_per_token():
    """Null, not infinity and not zero."""
    found = pooled([figures(output_tokens=0, net_j=0.0)])
    assert found["energy_per_output_token_j"] is None
    assert found["energy_per_output_token_net_j"] is None
    assert found["tokens_per_joule"] == 0.0
    assert found["output_throughput_tps"] == 0.0
    assert found["energy_per_total_token_j"] == pytest.approx(500 / 300)


def test_no_windows_have_no_metrics():
    """A cycle that failed before its first window says nothing."""
    assert set(pooled([]).values()) == {None}


def test_zero_joules_are_a_value():
    """Nothing drawn is known; what divides by it is not."""
    found = pooled([figures(gross_j=0.0, net_j=0.0)])
    assert found["energy_gross_j"] == 0.0
    assert found["energy_per_output_token_j"] == 0.0
    assert found["avg_power_w"] == 0.0
    assert found["tokens_per_joule"] is None


def phase_figures(**changed):
    values = {"prefill_s": 0.5, "prefill_j": 300.0, "input_tokens": 600}
    values |= {"decode_s": 2.0, "decode_j": 400.0, "output_tokens": 80}
    return PhaseFigures(**{**values, **changed})


def test_phases_by_hand():
    """300 J for 600 tokens in 0.5 s, then 400 J for 80 tokens in 2 s, and again."""
    assert pooled_phases([phase_figures()] * 2) == {
        "energy_prefill_per_input_token_j": 0.5,
        "energy_decode_per_output_token_j": 5.0,
        "prefill_power_w": 600.0,
        "decode_power_w": 200.0,
        "prefill_throughput_tps": 1200.0,
        "decode_throughput_tps": 40.0,
    }
    assert set(pooled_phases([])) <= set(METRICS)
    assert set(pooled_phases([]).values()) == {None}


def test_a_phase_that_is_not_known_leaves_the_other_alone():
    """What decode took is known without what prefill took, and rates without both."""
    found = pooled_phases([phase_figures(), phase_figures(prefill_j=None)])
    assert {name for name, value in found.items() if value is None} == {
        "energy_prefill_per_input_token_j",
        "prefill_power_w",
    }


def test_indices_by_hand():
    """125 J a request for 0.4 s; 50 token/s x 0.2 token/J; 100 tokens in 2.5 GB."""
    sums = pooled([figures()])
    found = indices(sums, e2e_s=0.4, output_tokens=100, peak_mb=2500.0)
    assert found == {
        "edp_js": pytest.approx(50.0),
        "ed2p_js2": pytest.approx(20.0),
        "token_efficiency_index": pytest.approx(10.0),
        "tokens_per_gb_vram": 40.0,
    }
    unknown = indices(pooled([]), e2e_s=None, output_tokens=None, peak_mb=None)
    assert set(unknown.values()) == {None}
    assert set(unknown) <= set(METRICS)


windows = st.lists(
    st.builds(
        figures,
        duration_s=st.floats(0.01, 1e4),
        input_tokens=st.integers(0, 10**6),
        output_tokens=st.integers(1, 10**6),
        requests=st.integers(1, 10**4),
        gross_j=st.floats(0.01, 1e7),
    ),
    min_size=1,
    max_size=5,
)


@given(windows)
def test_energy_per_token_times_tokens_per_second_is_the_power(cycle):
    """Numbers of one window close: J/token x token/s = W, and so do the others."""
    found = pooled(cycle)
    per_token, speed = (
        found["energy_per_output_token_j"],
        found["output_throughput_tps"],
    )
    assert per_token * speed == pytest.approx(found["avg_power_w"])
    assert found["tokens_per_joule"] * per_token == pytest.approx(1)
    assert found["avg_power_w"] * found["duration_s"] == pytest.approx(
        found["energy_gross_j"]
    )
    assert found["energy_per_request_j"] * found[
        "request_throughput_rps"
    ] == pytest.approx(found["avg_power_w"])
    assert found["input_throughput_tps"] + speed == pytest.approx(
        found["total_throughput_tps"]
    )
    assert found["energy_per_total_token_j"] <= per_token


def test_sums_and_ratios_know_what_is_missing():
    """None goes through; nothing is divided by zero."""
    assert total([1.0, 2.0]) == 3.0
    assert total([0.0, 0.0]) == 0.0
    assert total([1.0, None]) is None
    assert total([]) is None
    assert ratio(1.0, 4) == 0.25
    assert ratio(0, 4) == 0.0
    assert ratio(1.0, 0) is ratio(None, 4) is ratio(1.0, None) is None


def test_emissions_are_energy_times_both_factors():
    """3.6 MJ are one kWh; at 400 g and a PUE of 1.5 they are 600 g."""
    assert emissions_g(3.6e6, 400.0, 1.5) == pytest.approx(600.0)
    assert emissions_g(0.0, 400.0, 1.5) == 0.0


@given(st.floats(0, 1e9), st.floats(0, 2000), st.floats(1, 3))
def test_emissions_grow_with_each_factor(energy_j, intensity, pue):
    """Twice the energy is twice the grams."""
    once = emissions_g(energy_j, intensity, pue)
    assume(math.isfinite(once))
    assert emissions_g(2 * energy_j, intensity, pue) == pytest.approx(2 * once)
    assert emissions_g(energy_j, intensity, 1.0) <= once + 1e-9
