"""Result files of LLenergyMeasure, whose schemas are public, as reports.

The files here are made by hand, with the keys that its versions 2.0.0, 3.0.0 and (of a
later release, under the older number) 2.0 write.
"""

import copy
import json

import pytest
from typer.testing import CliRunner

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.cli import app
from pytest_lem.errors import ConfigError
from pytest_lem.records.export import columns, read_json, row
from pytest_lem.records.migrate import migrate
from pytest_lem.records.record import read


def process(index):
    """What one of several processes wrote."""
    return {
        "schema_version": "2.0.0",
        "experiment_id": "exp_1",
        "backend": "pytorch",
        "process_index": index,
        "gpu_id": index,
        "gpu_is_mig": False,
        "model_name": "org/model",
        "inference_metrics": {
            "total_tokens": 1000,
            "input_tokens": 600,
            "output_tokens": 400,
            "inference_time_sec": 4.0 + index,
        },
        "energy_metrics": {
            "total_energy_j": 150.0,
            "cpu_energy_j": 20.0,
            "ram_energy_j": 0.0,
            "emissions_kg_co2": 0.001,
        },
        "compute_metrics": {"peak_memory_mb": 1000.0, "model_memory_mb": 0.0},
    }


@pytest.fixture
def flat():
    """Version 2.0.0: two processes, no idle power, no environment."""
    return {
        "schema_version": "2.0.0",
        "experiment_id": "exp_1",
        "backend": "pytorch",
        "backend_version": "4.40.0",
        "aggregation": {"num_processes": 2},
        "total_tokens": 2000,
        "total_energy_j": 300.0,
        "total_inference_time_sec": 9.0,
        "avg_tokens_per_second": 250.0,
        "avg_energy_per_token_j": 0.15,
        "total_flops": 0.0,
        "process_results": [process(0), process(1)],
        "start_time": "2025-12-01T10:00:00",
        "end_time": "2025-12-01T10:00:07",
        "effective_config": {
            "model_name": "org/model",
            "fp_precision": "float16",
            "max_output_tokens": 128,
            "batching": {"batch_size": 8},
        },
        "latency_stats": None,
    }


@pytest.fixture
def whole(flat):
    """Version 3.0.0: one process, with what it knew of idle power and the machine."""
    flat |= {
        "schema_version": "3.0.0",
        "aggregation": {"num_processes": 1},
        "process_results": [process(0)],
        "total_inference_time_sec": 4.0,
        "total_flops": 6e11,
        "environment": {
            "gpu": {"name": "GPU X", "vram_total_mb": 40960.0},
            "cuda": {"version": "12.4", "driver_version": "550.1"},
            "thermal": {"power_limit_w": 250.0},
            "cpu": {"governor": "ondemand"},
            "container": {"detected": True},
        },
        "energy_breakdown": {"adjusted_j": 200.0, "baseline_power_w": 25.0},
        "thermal_throttle": {"detected": True, "hw_thermal": True},
        "latency_stats": {
            "ttft_mean_ms": 12.0,
            "ttft_median_ms": 11.0,
            "itl_mean_ms": 5.0,
            "itl_p95_ms": 7.0,
            "itl_full_mean_ms": 6.0,
        },
        "extended_metrics": {
            "memory": {"model_memory_mb": 500.0, "peak_memory_mb": 1000.0},
            "request_latency": {"e2e_latency_mean_ms": 900.0},
        },
        "config_warnings": ["batch size is odd"],
    }
    return flat


def only(record):
    """The one experiment of a report and its metrics."""
    (experiment,) = record.experiments
    return experiment, {k: one.value for k, one in experiment.summary.items()}


def test_a_flat_file_has_the_metrics_that_it_knows(flat):
    """Sums over processes, the time of the slowest, and the rest from both."""
    experiment, found = only(migrate(flat))
    assert found == {
        "energy_gross_j": 300.0,
        "energy_cpu_j": 40.0,
        "emissions_g_co2e": pytest.approx(2.0),
        "duration_s": 5.0,
        "energy_per_output_token_j": 300 / 800,
        "energy_per_total_token_j": 300 / 2000,
        "tokens_per_joule": 800 / 300,
        "output_throughput_tps": 160.0,
        "input_throughput_tps": 240.0,
        "total_throughput_tps": 400.0,
        "memory_peak_mb": pytest.approx(2097.152),
    }
    assert experiment.spec["backend"] == "transformers"
    assert experiment.spec["model"] == {"name": "org/model", "precision": "float16"}
    assert experiment.spec["workload"]["batch_size"] == 8
    assert experiment.cycles[0].engine["version"] == "4.40.0"


def test_what_a_file_does_not_know_is_null_with_a_reason(flat):
    """Never a 0, of which the file has several; no metric is silently absent."""
    experiment, found = only(migrate(flat))
    for name in METRICS:
        assert (name in found) != (f"summary.{name}" in experiment.nulls)
    nulls = experiment.nulls
    assert nulls["summary.flops"] == "not_in_the_file"
    assert nulls["summary.idle_power_w"] == "not_in_the_file"
    assert nulls["summary.energy_ram_j"] == "not_in_the_file"
    assert nulls["summary.avg_power_w"] == "time_of_the_energy_not_in_the_file"
    assert nulls["windows"] == "not_in_the_file"
    assert nulls["started_at"] == "no_zone_in_the_file: UTC is assumed"
    assert experiment.spec["workload"]["streaming"] is None


def test_a_whole_file_brings_idle_power_latency_and_the_machine(whole):
    """In our units, of which MB is not the MiB that it calls so."""
    record = migrate(whole)
    experiment, found = only(record)
    assert (found["energy_net_j"], found["idle_power_w"]) == (200.0, 25.0)
    assert found["energy_per_output_token_net_j"] == 0.5
    assert (found["ttft_mean_ms"], found["ttft_p50_ms"]) == (12.0, 11.0)
    assert found["itl_mean_ms"] == 6.0
    assert experiment.nulls["summary.itl_p95_ms"] == "only_of_trimmed_times"
    assert found["e2e_mean_ms"] == 900.0
    assert found["memory_model_mb"] == pytest.approx(524.288)
    assert found["flops_per_joule"] == 2e9
    gpu = record.environment["gpu"][0]
    assert (gpu["name"], gpu["driver_version"]) == ("GPU X", "550.1")
    assert gpu["memory_mb"] == pytest.approx(42949.67, abs=0.01)
    assert experiment.notes[0]["message"] == "batch size is odd"


def test_flags_tell_what_a_gate_must_know(whole, flat):
    """Another program's number, a hot GPU, energy that was partly a model's."""
    whole["warmup_result"] = {"converged": False}
    flags = set(only(migrate(whole))[0].flags)
    assert {"migrated", "throttled_thermal", "estimated_energy"} <= flags
    assert "warmup_not_converged" in flags


def test_a_cold_start_stays_one(flat):
    """So that nothing puts it beside a warm run."""
    assert not only(migrate(flat))[0].cold
    flat["effective_config"]["force_cold_start"] = True
    cold = only(migrate(flat))[0]
    assert cold.cold
    assert "cold_start" in cold.flags


def test_the_file_is_kept_whole(whole):
    """Also what has no place in a report, through writing and reading."""
    before = copy.deepcopy(whole)
    back = read(migrate(whole).model_dump_json().encode())
    assert back.experiments[0].model_extra["x_llenergymeasure"] == [before]
    assert set(row(back, back.experiments[0])) == set(columns())


@pytest.mark.parametrize(
    ("changes", "metric", "reason"),
    [
        ({"energy_tracking_failed": True}, "energy_gross_j", "energy_tracking_failed"),
        ({"total_energy_j": 0.0}, "energy_per_output_token_j", "zero_in_the_file"),
        (
            {"process_results": []},
            "energy_per_output_token_j",
            "only_total_tokens_in_the_file",
        ),
        (
            {"process_results": [process(0)]},
            "duration_s",
            "time_of_several_processes_not_in_the_file",
        ),
    ],
)
def test_what_cannot_be_told_from_a_file_is_not_guessed(flat, changes, metric, reason):
    """Each with the reason."""
    experiment, found = only(migrate(flat | changes))
    assert metric not in found
    assert experiment.nulls[f"summary.{metric}"] == reason


def test_times_of_tokens_that_were_estimated_are_null(whole):
    """The file divides the time of a batch by its tokens where it has no stamps."""
    times = {"measurement_mode": "proportional"}
    whole["process_results"][0]["inference_metrics"]["latency_measurements"] = times
    experiment, found = only(migrate(whole))
    assert "ttft_mean_ms" not in found
    assert experiment.nulls["summary.ttft_mean_ms"] == "estimated_in_the_file"
    assert found["e2e_mean_ms"] == 900.0


def test_a_study_s_results_of_one_configuration_are_cycles(whole):
    """Others are experiments of their own."""
    again = whole | {"experiment_id": "exp_2", "total_energy_j": 320.0}
    other = whole | {"experiment_id": "exp_3", "backend": "vllm"}
    record = migrate({"name": "study", "experiments": [whole, again, other]})
    assert [len(one.cycles) for one in record.experiments] == [2, 1]
    energy = record.experiments[0].summary["energy_gross_j"]
    assert (energy.value, energy.n) == (310.0, 2)
    assert record.session.id == "llenergymeasure-study"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: [one], "it holds no JSON object"),
        (lambda one: one | {"session": {}}, "it is a report of pytest-lem already"),
        (lambda one: process(0), "it is the result of one process: migrate the aggre"),
        (lambda one: {"a": 1}, "it is no result of LLenergyMeasure: it has no exper"),
        (lambda one: one | {"schema_version": "5.0"}, "its schema version is '5.0', n"),
        (lambda one: one | {"start_time": "then"}, "its start_time 'then' is no time"),
        (lambda one: {"experiments": []}, "it is a study without results"),
    ],
)
def test_what_is_no_such_file_is_refused_in_one_line(flat, change, said):
    """With what it is, where that can be told."""
    with pytest.raises(ConfigError) as refused:
        migrate(change(flat))
    assert refused.value.message.startswith(said)
    assert "\n" not in refused.value.message


def test_the_command_writes_reports_and_fills_a_store(flat, whole, tmp_path):
    """Each file once, and nothing where one of them is no such file."""
    pytest.importorskip("sqlalchemy")
    place = tmp_path / "old"
    place.mkdir()
    (place / "a.json").write_text(json.dumps(whole))
    (place / "b.json").write_text("[]")
    out, store = tmp_path / "new", tmp_path / "x.db"

    def lem(*arguments):
        done = CliRunner().invoke(app, [*map(str, arguments)])
        return done.exit_code, done.stdout, done.stderr

    refused = lem("migrate", place / "a.json", place / "b.json", "--json", out)
    assert refused == (2, "", f"{place / 'b.json'}: it holds no JSON object\n")
    assert not out.exists()
    for _ in range(2):
        done = lem("migrate", place / "a.json", "--json", out, "--store", store)
        assert done == (0, f"{place / 'a.json'}: 1 experiments, 1 cycles\n", "")
    assert only(read_json(out / "a.json"))[1]["energy_gross_j"] == 300.0
    listed = lem("results", "list", "--store", store, "--json")[1]
    assert json.loads(listed)["model"] == "org/model"
    kept = lem("migrate", place / "a.json", "--json", place)
    assert kept[0] == 2
    assert json.loads((place / "a.json").read_text()) == whole
    assert lem("migrate", place / "a.json")[2].startswith("migrate to what? write")
