"""The CSV file: columns, missing values, and cells that no spreadsheet runs."""

import csv
import re

import pytest

from pytest_lem.analysis.metrics import METRICS, QUALITIES
from pytest_lem.records.export import (
    CYCLE_COLUMNS,
    columns,
    row,
    write_csv,
    write_cycles,
)

COLUMNS = """
experiment_id identity backend model precision batch_size cycles start_time end_time
duration_s input_tokens output_tokens output_tokens_per_s total_tokens_per_s
energy_gross_j energy_net_j energy_uncertainty_j energy_per_output_token_j
energy_per_output_token_net_j energy_per_total_token_j tokens_per_joule idle_power_w
idle_state avg_power_w energy_cpu_j energy_ram_j emissions_g_co2e energy_method meter
ttft_mean_ms ttft_p50_ms ttft_p95_ms ttft_p99_ms itl_mean_ms itl_p50_ms itl_p95_ms
itl_p99_ms e2e_mean_ms e2e_p95_ms flops flops_per_output_token flops_method throttled
throttle_s temperature_max_c gpu_name gpu_memory_mb driver_version cuda_version
power_limit_w cpu_governor in_container gpu_utilisation_mean_pct memory_peak_mb
memory_model_mb effective_batch_size padding_overhead kv_cache_hit_rate
warmup_converged flags verdict traces_path
"""

LATER = """
energy_prefill_per_input_token_j energy_decode_per_output_token_j prefill_power_w
decode_power_w prefill_throughput_tps decode_throughput_tps edp_js
token_efficiency_index tokens_per_gb_vram flops_per_input_token flops_per_joule mfu mbu
goodput_rps attainment goodput_per_joule
memory_load_peak_mb memory_reserved_peak_mb memory_device_used_mb memory_process_used_mb
memory_rss_peak_mb kv_cache_used_mb kv_cache_read_mb
goodput_requests goodput_good goodput_attainment_low goodput_attainment_high
goodput_steady_rps goodput_steady_attainment goodput_steady_attainment_low
goodput_steady_attainment_high goodput_steady_per_joule
percentiles_ttft_p50_low_ms percentiles_ttft_p50_high_ms percentiles_ttft_p95_low_ms
percentiles_ttft_p95_high_ms percentiles_ttft_p99_low_ms percentiles_ttft_p99_high_ms
percentiles_itl_p50_low_ms percentiles_itl_p50_high_ms percentiles_itl_p95_low_ms
percentiles_itl_p95_high_ms percentiles_itl_p99_low_ms percentiles_itl_p99_high_ms
percentiles_e2e_p50_low_ms percentiles_e2e_p50_high_ms percentiles_e2e_p95_low_ms
percentiles_e2e_p95_high_ms percentiles_unsupported
requests_sent requests_completed requests_timeout requests_token_timeout
requests_early_stop requests_engine_error requests_cancelled
search_rate_rps search_failed_rps search_confirmation
perplexity output_perplexity ed2p_js2
"""

ENVIRONMENT = {
    "gpu": [
        {
            "name": "GPU X",
            "memory_mb": 80000.0,
            "driver_version": "570.1",
            "cuda_version": "12.8",
            "power_limit_w": 700.0,
        }
    ],
    "cpu": {"governor": "performance"},
    "container": {"detected": True},
}


def heat(throttled=False, seconds=0.0, hottest=50.0):
    return {
        "throttle": {"throttled": throttled, "duration_s": seconds},
        "temperature_max_c": hottest,
        "utilisation_mean_pct": 90.0,
    }


@pytest.fixture
def only(make_record):
    """The row of a report with one experiment."""

    def only(cycles, **kwargs):
        record = make_record(cycles, **kwargs)
        return row(record, record.experiments[0])

    return only


@pytest.fixture
def cells(make_record, tmp_path):
    """The row as it stands in the file."""

    def cells(cycles, **kwargs):
        path = tmp_path / "r.csv"
        write_csv(make_record(cycles, **kwargs), path)
        with path.open(encoding="utf-8", newline="") as file:
            (found,) = csv.DictReader(file)
        return found

    return cells


def test_the_columns_keep_their_order():
    """Scripts count on it; new columns come at the end."""
    intervals = [f"{name}_ci_{end}" for name in METRICS for end in ("low", "high")]
    assert columns() == [*COLUMNS.split(), *intervals, *LATER.split()]


def test_a_row_has_every_column_whatever_is_known(only, make_cycle, make_window):
    """A failed experiment's row is as long as any other."""
    rich = make_cycle(windows=[make_window(thermal=heat())], energy_gross_j=1.0)
    for cycles in ([rich], [make_cycle()], [make_cycle(status="failed")]):
        assert list(only(cycles)) == columns()


def test_values_come_from_summary_windows_and_machine(only, make_cycle, make_window):
    """Each cell from its place."""
    windows = [make_window(), make_window(kind="latency", index=1)]
    metrics = {
        "energy_gross_j": 500.0,
        "energy_ram_j": 20.0,
        "energy_cpu_j": 60.0,
        "output_throughput_tps": 50.0,
        "total_throughput_tps": 200.0,
        "ttft_p50_ms": 12.0,
        "duration_s": 2.0,
    }
    idle = {
        "state": "model_loaded",
        "power_w": 60.0,
        "std_w": 1.0,
        "samples": 5,
        "duration_s": 5.0,
        "method": "counter_interpolated",
        "age_s": 1.0,
    }
    cycles = [
        make_cycle(k, windows=windows, idle=idle, metrics=metrics) for k in range(2)
    ]
    found = only(cycles, environment=ENVIRONMENT)
    expected = {
        "experiment_id": "t.py::test",
        "identity": "0123456789abcdef",
        "backend": "fake",
        "model": "synthetic:llama-tiny",
        "batch_size": 1,
        "cycles": 2,
        "start_time": "2026-01-01T00:00:00.000+00:00",
        "end_time": "2026-01-01T00:00:01.000+00:00",
        "energy_gross_j": 500.0,
        "energy_ram_j": 20.0,
        "energy_cpu_j": 60.0,
        "output_tokens_per_s": 50.0,
        "total_tokens_per_s": 200.0,
        "ttft_p50_ms": 12.0,
        "energy_method": "counter_interpolated",
        "meter": "nvml",
        "idle_state": "model_loaded",
        "gpu_name": "GPU X",
        "gpu_memory_mb": 80000.0,
        "driver_version": "570.1",
        "cuda_version": "12.8",
        "power_limit_w": 700.0,
        "cpu_governor": "performance",
        "in_container": True,
        "energy_gross_j_ci_low": 500.0,
        "energy_gross_j_ci_high": 500.0,
        "flags": "few_cycles",
        "verdict": None,
    }
    assert {key: found[key] for key in expected} == expected


def test_memory_and_operations_are_flat_columns(only, make_cycle, make_window):
    """Each size by its own name, and how the operations were counted."""
    window = make_window(
        memory={"rss_peak_mb": 9.0, "kv_cache_mb": 2.0},
        flops={"method": "architecture"},
    )
    found = only([make_cycle(windows=[window], flops=1e9, mfu=0.5)])
    assert (found["memory_rss_peak_mb"], found["kv_cache_used_mb"]) == (9.0, 2.0)
    assert found["memory_device_used_mb"] is None
    assert (found["flops"], found["flops_method"]) == (1e9, "architecture")
    assert found["mfu"] == 0.5


def test_tokens_energy_and_seconds_of_a_row_belong_together(
    only, make_cycle, make_window
):
    """All are one cycle's energy windows, so that a reader's own ratios come out."""
    windows = [make_window(), make_window(index=1), make_window(kind="latency")]
    metrics = {
        "duration_s": 4.0,
        "output_throughput_tps": 50.0,
        "total_throughput_tps": 200.0,
    }
    found = only([make_cycle(k, windows=windows, metrics=metrics) for k in range(3)])
    assert (found["input_tokens"], found["output_tokens"]) == (600, 200)
    assert found["output_tokens"] / found["duration_s"] == found["output_tokens_per_s"]
    more = make_cycle(3, windows=[make_window()], metrics=metrics)
    less = make_cycle(4, windows=[make_window(), make_window()], metrics=metrics)
    assert only([more, less])["output_tokens"] == 150


def test_an_experiment_without_a_complete_cycle_has_empty_cells(cells, make_cycle):
    """Not zero tokens at zero seconds."""
    found = cells([make_cycle(status="failed")])
    known = {key for key, text in found.items() if text}
    assert known == {
        "experiment_id",
        "identity",
        "backend",
        "model",
        "batch_size",
        "cycles",
    }
    assert found["cycles"] == "0"


def test_a_missing_value_has_one_spelling_and_truth_another(
    cells, make_cycle, make_window
):
    """Empty, `true`, `false`; never None, nan or True."""
    window = make_window(thermal=heat(throttled=True, seconds=0.5))
    warm = {
        "policy": "off",
        "converged": False,
        "cv": None,
        "iterations": 1,
        "duration_s": 1.0,
        "energy_j": None,
    }
    cycle = make_cycle(windows=[window], warmup=warm)
    found = cells([cycle], environment=ENVIRONMENT)
    assert (found["throttled"], found["throttle_s"]) == ("true", "0.5")
    assert (found["warmup_converged"], found["in_container"]) == ("false", "true")
    assert found["energy_gross_j"] == found["verdict"] == found["traces_path"] == ""
    assert not {"None", "nan", "True", "False"} & set(found.values())


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([None, None], None),
        ([False, False], False),
        ([False, None], None),
        ([True, None], True),
        ([False, True], True),
    ],
)
def test_throttling_is_known_unknown_or_neither(
    only, make_cycle, make_window, seen, expected
):
    """One window that throttled is enough; one that is unknown leaves no `false`."""
    windows = [make_window(thermal=heat(throttled=one)) for one in seen]
    assert only([make_cycle(windows=windows)])["throttled"] is expected


def test_the_hottest_window_counts(only, make_cycle, make_window):
    """Over all cycles; unknown temperatures do not hide known ones."""
    windows = [make_window(thermal=heat(hottest=t)) for t in (50.0, None, 71.0)]
    assert only([make_cycle(windows=windows)])["temperature_max_c"] == 71.0


@pytest.mark.parametrize("first", list("=+-@\t\r\n"))
def test_a_text_that_begins_like_a_formula_is_made_safe(cells, make_cycle, first):
    """Spreadsheets would run it."""
    name = f"{first}cmd|'/c calc'!A0"
    found = cells([make_cycle()], name=name)["experiment_id"]
    assert found == f"'{name}".replace("\r", "\n")


def test_numbers_below_zero_stay_numbers(cells, make_cycle):
    """Only text is made safe."""
    metrics = [{"energy_gross_j": value} for value in (1.0, -7.0)]
    found = cells([make_cycle(k, metrics=m) for k, m in enumerate(metrics)])
    assert float(found["energy_gross_j"]) == -3.0
    assert float(found["energy_gross_j_ci_low"]) < -3.0


def test_any_name_is_one_cell(cells, make_cycle):
    """Quotes, commas and line ends in a name break no row."""
    name = 'a,"b"\nc;\r\nGrüße\r日本'
    found = cells([make_cycle()], name=name)["experiment_id"]
    assert found == 'a,"b"\nc;\nGrüße\n日本'


def test_every_column_says_its_unit_or_has_none():
    """A number in a spreadsheet says what it is counted in."""
    unit = re.compile(
        r"_(j|s|js|js2|ms|w|mb|pct|c|g_co2e|tps|rps|index)(_ci_(low|high))?$|_per_|_tokens$"
        r"|^requests_"
    )
    bare = {
        *("experiment_id", "identity", "backend", "model", "precision", "batch_size"),
        *("cycles", "start_time", "end_time", "idle_state", "energy_method", "meter"),
        *("flops", "flops_method", "throttled", "gpu_name", "driver_version"),
        *("cuda_version", "cpu_governor", "in_container", "effective_batch_size"),
        *("padding_overhead", "kv_cache_hit_rate", "warmup_converged", "flags"),
        *("verdict", "traces_path", "mfu", "mbu", "percentiles_unsupported"),
        *("search_confirmation", *QUALITIES),
    }
    counted = ("attainment", "goodput_attainment", "goodput_steady_attainment")
    bare |= {"goodput_requests", "goodput_good", counted[0], counted[2]}
    bare |= {f"{n}_{e}" for n in counted[1:] for e in ("low", "high")}
    shares = ("flops", "mfu", "mbu", "attainment", *QUALITIES)
    bare |= {f"{n}_ci_{e}" for n in shares for e in ("low", "high")}
    assert {name for name in columns() if not unit.search(name)} == bare


def test_each_cycle_may_have_a_row(make_record, make_cycle, make_window, tmp_path):
    """Its own numbers and flags, without intervals; what failed has its times alone."""
    error = {"kind": "timeout", "type": "Timeout", "message": "late", "detail": ""}
    cycles = [
        make_cycle(0, windows=[make_window()], energy_gross_j=1.0, flags=["odd"]),
        make_cycle(1, status="failed", error=error, energy_gross_j=7.0),
        make_cycle(2, windows=[make_window()], energy_gross_j=3.0),
    ]
    write_cycles(make_record(cycles), tmp_path / "c.csv")
    with (tmp_path / "c.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        first, failed, last = reader
    assert reader.fieldnames == [*columns(), *CYCLE_COLUMNS]
    assert (first["cycle"], first["cycles"], first["energy_gross_j"]) == (
        "0",
        "1",
        "1.0",
    )
    assert (first["flags"], last["flags"]) == ("odd", "")
    assert last["energy_gross_j_ci_low"] == ""
    assert last["output_tokens"] == "100"
    assert (failed["status"], failed["error_kind"]) == ("failed", "timeout")
    assert (failed["start_time"], failed["energy_gross_j"]) == (last["start_time"], "")
