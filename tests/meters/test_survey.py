"""What `lem meters` finds out, on this machine as it is."""

import json
import subprocess
import sys

import pytest

from pytest_lem.machine import gpu
from pytest_lem.meters.survey import METERS, survey


@pytest.fixture(scope="module")
def found():
    return {one.name: one for one in survey(gpu.discover(), seconds=1.5)}


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


def test_the_command_prints_the_same_as_json():
    """`lem meters --json` gives one object for each meter."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest_lem.cli", "meters", "--json", "--seconds=1"],
        capture_output=True,
        text=True,
        check=True,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["name"] for one in told] == list(METERS)


def test_the_command_tells_people_in_lines():
    """Without --json each meter has a line that says whether it works."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest_lem.cli", "meters", "--seconds=1"],
        capture_output=True,
        text=True,
        check=True,
    )
    for name in METERS:
        assert f"\n{name}" in f"\n{done.stdout}"
