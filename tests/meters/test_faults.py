"""What goes wrong under a meter while it samples, fault by fault.

Each ends as a null with its reason or as a flag; nothing hangs, and no 0 stands in for
a measurement. Steps of the wall clock are in `test_nvml_ring`, polls that raise or
hang in `test_sampler`, two sessions on a GPU in `machine/test_locks`, and what whole
sessions make of faults in `plugin/test_faults`.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time

import pytest

from pytest_lem.errors import MeterError
from pytest_lem.machine import gpu
from pytest_lem.meters import rapl
from pytest_lem.meters.metering import Metering
from pytest_lem.meters.opening import open_meters


def measured(metering, seconds=0.6, **kwargs):
    start_s = time.monotonic()
    time.sleep(seconds)
    end_s = time.monotonic()
    metering.settle(end_s)
    return metering.energy(start_s, end_s, **kwargs), end_s - start_s


def zone(root, folder, name, energy_uj):
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(name)
    (path / "energy_uj").write_text(str(energy_uj))
    (path / "max_energy_range_uj").write_text("262143328850")
    return path


LOST = pytest.mark.parametrize("code", [15, 1], ids=["gpu_is_lost", "uninitialized"])


@LOST
def test_a_lost_gpu_is_counted_and_the_other_goes_on(driver, code):
    """Errors of one GPU make its own energy null, and are in the facts."""
    simulated = driver([300.0, 100.0])
    with open_meters(["nvml"], gpus=gpu.discover()) as metering:
        simulated.fails[0] = code
        time.sleep(0.1)
        reading, _ = measured(metering, 0.3)
        facts = metering.describe()[0]["facts"]
        state = metering.describe()[0]["sampler"]
    assert reading.gross_j is None
    assert reading.reason == "not_covered: GPU-0"
    assert reading.per_device[1]["energy_j"] > 0
    assert facts["GPU-0"]["errors"][f"energy: code {code}"] > 0
    assert facts["GPU-1"]["errors"].keys().isdisjoint({f"energy: code {code}"})
    assert not state["failed"]


@LOST
@pytest.mark.parametrize("powers_w", [[300.0], [300.0, 100.0]])
def test_when_all_gpus_are_lost_the_meter_fails(driver, powers_w, code):
    """Five polls without any answer end the meter with the driver's word."""
    simulated = driver(powers_w)
    with open_meters(["nvml"], gpus=gpu.discover()) as metering:
        simulated.fails |= {0: code, 1: code}
        time.sleep(1.2)
        state = metering.describe()[0]["sampler"]
        reading, _ = measured(metering, 0.1)
    assert state["failed"]
    assert state["reason"] == f"NVMLError: code {code}"
    assert (reading.gross_j, reading.reason[:11]) == (None, "not_covered")
    assert "sampler_failed" in reading.flags


def test_a_counter_that_starts_anew_parts_the_energy(driver):
    """The span over the reset is null and flagged; the next one counts."""
    simulated = driver([300.0])
    with open_meters(["nvml"], gpus=gpu.discover()) as metering:
        start_s = time.monotonic()
        time.sleep(0.3)
        simulated.powers_w[0] = 100.0  # less since boot than it was
        time.sleep(0.3)
        end_s = time.monotonic()
        metering.settle(end_s)
        over = metering.energy(start_s, end_s)
        after, seconds = measured(metering)
    assert (over.gross_j, over.reason) == (None, "counter_reset: GPU-0")
    assert "counter_reset" in over.flags
    assert after.gross_j / seconds == pytest.approx(100, rel=0.1)


def test_a_ring_that_fails_mid_way_leaves_the_counter_alone(driver):
    """The method says that the samples no longer shape it, and nothing waits."""
    simulated = driver([300.0], ring=True)
    with open_meters(["nvml"], gpus=gpu.discover()) as metering:
        time.sleep(1.0)
        now_s = time.monotonic()
        shaped = metering.energy(now_s - 0.9, now_s - 0.6)
        del simulated.nvmlDeviceGetSamples  # from now on: not supported
        time.sleep(1.2)
        reading, seconds = measured(metering, 1.0)
        facts = metering.describe()[0]["facts"]["GPU-0"]
    assert shaped.method == "counter_ring"
    assert reading.method == "counter_interpolated"
    assert reading.gross_j / seconds == pytest.approx(300, rel=0.1)
    assert facts["ring"]["given_up"] == "code 3"


def test_a_read_that_stalls_is_told_while_it_lasts_and_leaves_a_gap(driver):
    """Two seconds without an answer: null and flagged, and afterwards a gap."""
    simulated = driver([300.0])
    released = threading.Event()
    with open_meters(["nvml"], gpus=gpu.discover()) as metering:
        time.sleep(0.5)
        start_s = time.monotonic()
        simulated.hanging[0] = released
        time.sleep(0.8)
        during, _ = measured(metering, 0.2)
        assert metering.describe()[0]["sampler"]["flags"] == ["sampler_stalled"]
        del simulated.hanging[0]
        released.set()
        end_s = time.monotonic()
        time.sleep(0.3)
        metering.settle(end_s + 0.2)
        whole = metering.energy(start_s, end_s + 0.2)
        inside = metering.energy(start_s + 0.7, end_s - 0.3)
        state = metering.describe()[0]["sampler"]
    assert end_s - start_s > 2.0
    assert (during.gross_j, during.reason) == (None, "not_covered: GPU-0")
    assert "sampler_stalled" in during.flags
    assert whole.gross_j == pytest.approx(300 * (end_s + 0.2 - start_s), rel=0.1)
    assert "reading_gap" in whole.flags
    assert (inside.gross_j, inside.reason) == (None, "gap: GPU-0")
    assert not state["failed"]


def test_a_read_that_hangs_holds_up_its_own_gpu_only(driver):
    """The other GPU is measured on; NVML is not shut down under a call."""
    simulated = driver([300.0, 100.0])
    released = threading.Event()
    with open_meters(["nvml"], gpus=gpu.discover()) as metering:
        simulated.hanging[0] = released
        time.sleep(0.1)
        reading, seconds = measured(metering, 0.3, devices=["GPU-1"])
        assert measured(metering, 0.1, devices=["GPU-0"])[0].gross_j is None
        facts = metering.describe()[0]["facts"]
    assert "a read has not returned for" in facts["GPU-0"]["silent"]
    assert facts["GPU-1"]["silent"] is None
    assert reading.gross_j / seconds == pytest.approx(100, rel=0.2)
    assert simulated.users == 1
    released.set()


def test_a_driver_without_gpus_is_no_meter(driver):
    """NVML that answers and sees nothing is said to see nothing."""
    driver([])
    with pytest.raises(MeterError, match="nvml: the driver sees no GPU"):
        open_meters(["nvml"], gpus=[])


def test_a_driver_that_permits_nothing_is_no_meter(driver):
    """Neither energy nor power, and the driver's words for both."""
    simulated = driver([300.0])
    gpus = gpu.discover()
    simulated.fails[0] = simulated.NVML_ERROR_NO_PERMISSION
    with pytest.raises(
        MeterError, match=r"neither energy nor power \(energy: code 4; power: code 4\)"
    ):
        open_meters(["nvml"], gpus=gpus)


def test_a_domain_that_vanishes_is_counted_and_the_other_goes_on(tmp_path):
    """The sum is then null with the reason, and the domain left is still told."""
    package = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    dram = zone(tmp_path, "intel-rapl:0:0", "dram", 500_000)
    meter = rapl.RaplMeter(tmp_path)
    with Metering([meter]) as metering:
        start_s = time.monotonic()
        time.sleep(0.15)
        (dram / "energy_uj").unlink()
        (package / "energy_uj").write_text("11000000")
        time.sleep(0.3)
        end_s = time.monotonic() - 0.15
        metering.settle(end_s, timeout_s=0.3)
        reading = metering.energy(start_s, end_s)
    assert (reading.gross_j, reading.dram_j) == (None, None)
    assert reading.cpu_j == pytest.approx(10.0)
    assert reading.reason == "not_covered: package-0/dram"
    assert any("dram" in error for error in meter.facts()["errors"])


def test_a_powercap_tree_that_vanishes_ends_the_meter(tmp_path):
    """Null with the reason and the flag, and the kernel's word in the record."""
    package = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    with Metering([rapl.RaplMeter(tmp_path)]) as metering:
        time.sleep(0.2)
        shutil.rmtree(package)
        time.sleep(0.7)
        reading, _ = measured(metering, 0.1)
        state = metering.describe()[0]["sampler"]
    assert (reading.gross_j, reading.reason) == (None, "not_covered: package-0")
    assert "sampler_failed" in reading.flags
    assert "No such file or directory" in state["reason"]


# Folders of pytest and of its workers, which nobody else may enter.
TEMPORARY = ("pytest-", "popen-", "test_")
DENIED = """
import json, os, sys, time
from pathlib import Path
from pytest_lem.meters.metering import Metering
from pytest_lem.meters.rapl import RaplMeter

if os.geteuid() == 0:
    os.setuid(65534)
with Metering([RaplMeter(Path(sys.argv[1]))]) as metering:
    (Path(sys.argv[1]) / "intel-rapl:0" / "energy_uj").chmod(0)
    time.sleep(0.8)
    now_s = time.monotonic()
    reading = metering.energy(now_s - 0.2, now_s)
    print(json.dumps([reading.gross_j, reading.flags, metering.describe()]))
"""


def test_a_permission_taken_away_ends_the_meter(tmp_path):
    """A counter that may no longer be read is told as that."""
    package = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    if os.geteuid() == 0:
        os.chown(package / "energy_uj", 65534, 65534)
        for path in (tmp_path, *tmp_path.parents):
            if path.stat().st_uid == 0 and path.name.startswith(TEMPORARY):
                path.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", DENIED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    gross_j, flags, (told,) = json.loads(done.stdout)
    assert gross_j is None
    assert "sampler_failed" in flags
    assert told["sampler"]["reason"].startswith("PermissionError: ")
    assert told["facts"]["errors"]["package-0: Permission denied"] >= 5


def test_a_rapl_counter_that_starts_anew_is_no_wrap(tmp_path):
    """The 262 kJ that a wrap would mean in a moment are drawn by no CPU."""
    package = zone(tmp_path, "intel-rapl:0", "package-0", 90_000_000)
    with Metering([rapl.RaplMeter(tmp_path)]) as metering:
        (package / "energy_uj").write_text("95000000")
        time.sleep(0.15)
        start_s = time.monotonic()
        time.sleep(0.15)
        (package / "energy_uj").write_text("1000000")
        time.sleep(0.15)
        end_s = time.monotonic()
        metering.settle(end_s)
        reading = metering.energy(start_s, end_s)
    assert (reading.gross_j, reading.reason) == (None, "counter_reset: package-0")
    assert "counter_reset" in reading.flags


def test_a_rapl_counter_that_stands_still_is_null(tmp_path):
    """A CPU that draws nothing is off; a counter that says so is stuck."""
    zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    with Metering([rapl.RaplMeter(tmp_path)]) as metering:
        reading, _ = measured(metering, 0.3)
    assert (reading.gross_j, reading.cpu_j) == (None, None)
    assert reading.reason == "counter_unchanged: package-0"


def test_counters_that_stay_at_zero_are_left_out(tmp_path):
    """Memory that counts nothing is named, and is no meter if it is all there is."""
    zone(tmp_path, "intel-rapl:0:0", "dram", 0)
    with pytest.raises(MeterError, match="stays at 0"):
        rapl.RaplMeter(tmp_path)
    zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    meter = rapl.RaplMeter(tmp_path)
    assert [device.id for device in meter.devices()] == ["package-0"]
    assert meter.facts()["silent"] == ["intel-rapl:0:0"]
