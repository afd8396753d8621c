"""What `lem meters` finds out, on this machine as it is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pytest_lem.cli import app
from pytest_lem.machine import gpu
from pytest_lem.meters.survey import METERS, survey
from pytest_lem.report.meters import lines


@pytest.fixture(scope="module")
def found():
    return {one.name: one for one in survey(METERS, gpu.discover(), seconds=1.5)}


def test_each_meter_is_tried_and_says_why_it_cannot_work(found):
    """Every built-in meter either reads power or names the reason and the remedy."""
    assert tuple(found) == METERS
    for one in found.values():
        assert one.works == (one.reason is None)
        if one.works:
            assert all(power > 0 for power in one.power_w.values())
            assert one.power_w
        else:
            assert one.reason.startswith(f"{one.name}: ")


@pytest.mark.skipif(gpu.absence() is None, reason="a GPU is here")
def test_without_a_driver_nvml_tells_where_it_would_work(found):
    """The remedy speaks of where to run instead."""
    assert "nvidia-smi" in found["nvml"].reason


def test_an_estimate_is_called_one(found):
    """CodeCarbon's model is never shown as a measurement."""
    pytest.importorskip("codecarbon")
    assert found["codecarbon"].basis == "estimated"
    assert set(found["codecarbon"].power_w) == {"cpu", "dram"}
    assert next(lines(found["codecarbon"])).startswith("codecarbon: estimated, cpu ~")


def lem(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest_lem.cli", "meters", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_prints_the_same_as_json():
    """`lem meters --json` gives one object for each meter."""
    told = [
        json.loads(line) for line in lem("--json", "--seconds=1").stdout.splitlines()
    ]
    assert [one["name"] for one in told] == list(METERS)


def test_the_command_tells_people_in_lines():
    """Without --json each meter has a line that says whether it works."""
    done = lem("--seconds=1")
    for name in METERS:
        assert f"\n{name}" in f"\n{done.stdout}"


def test_meters_are_chosen_by_name_and_a_wrong_one_is_one_line():
    """`--meter` takes what `--lem-meter` takes."""
    done = lem("--meter=fake:70", "--seconds=1")
    assert done.stdout.startswith("fake:70: synthetic, gpu 70.0 W\n")
    wrong = lem("--meter=nvlm", "--seconds=1")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "did you mean 'nvml'?" in wrong.stderr
    assert len(wrong.stderr.splitlines()) == 1


def test_each_gpu_is_told_with_its_counter_and_its_ring(driver):
    """Period, cost of a read, spacing of the ring and power, for each."""
    driver([300.0, 100.0], ring=True, read_s=0.002)
    (found,) = survey(["nvml"], gpu.discover(), seconds=1.5)
    first, second = found.gpus
    assert (first.device, second.device) == ("GPU-0", "GPU-1")
    assert first.power_w == pytest.approx(300, rel=0.05)
    assert second.power_w == pytest.approx(100, rel=0.05)
    assert first.period_s == pytest.approx(0.05, rel=0.2)
    assert 2 <= first.read_ms["median"] <= first.read_ms["p99"]
    assert first.ring["spacing_s"] == pytest.approx(0.02, abs=0.002)
    told = "\n".join(lines(found))
    assert "    GPU-1: " in told
    assert "power samples every 20.0 ms, lag unknown" in told


TRACE = Path(__file__).parents[1] / "data" / "h100_llm_trace.json.gz"


@pytest.mark.slow
def test_a_self_check_of_a_recorded_trace_says_all_that_it_can():
    """Counter against ring at rest; the load and its reason; what sampling costs."""
    pytest.importorskip("torch")
    arguments = (f"--meter=replay:{TRACE}", "--self-check", "--seconds=2")
    done = lem(*arguments, "--json")
    check = json.loads(done.stdout)["self_check"]
    idle, load = check["comparisons"]
    assert check["verdict"] == "verified"
    assert abs(idle["difference_pct"]) < 5
    assert idle["counter_j"] == pytest.approx(idle["ring_j"], rel=0.05)
    assert load["reason"] == "replayed energy does not depend on what runs here"
    assert check["overhead"]["pairs"] >= 3
    assert check["overhead"]["low_pct"] < check["overhead"]["high_pct"]


def test_several_mig_instances_are_checked_without_work(driver, monkeypatch, tmp_path):
    """No process can load them all; the rest of the check is done."""
    driver([300.0], mig={0})
    monkeypatch.setenv("LEM_CACHE_DIR", str(tmp_path))
    arguments = ["meters", "--meter=nvml", "--self-check", "--seconds=1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "CUDA gives a process one MIG instance, not 2" in result.stdout
