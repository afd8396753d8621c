"""Zeus, the library itself, on a simulated driver, a powercap tree and a chip."""

import multiprocessing
import sys
import time
from types import SimpleNamespace

import pytest

from pytest_lem.errors import ConfigError, MeterError
from pytest_lem.machine import gpu
from pytest_lem.meters.opening import open_meters

pytest.importorskip("zeus")

# What Zeus asks of `pynvml` besides, or knows the official one by.
NVIDIA = {
    "_nvmlGetFunctionPointer": None,
    "NVML_SUCCESS": 0,
    "NVML_POWER_SCOPE_GPU": 0,
    "NVML_FI_DEV_POWER_INSTANT": 186,
}


@pytest.fixture(autouse=True)
def _nothing(monkeypatch, tmp_path):
    """A machine without anything; Zeus keeps what it once found for ever."""
    import zeus.device.cpu.rapl
    import zeus.device.gpu
    import zeus.device.soc

    kept = (
        zeus.device.gpu.nvml_is_available,
        zeus.device.cpu.rapl.rapl_is_available,
    )
    monkeypatch.setattr("zeus.device.gpu._gpus", None)
    monkeypatch.setattr("zeus.device.soc._soc", None)
    monkeypatch.setattr("zeus.device.gpu.amdsmi_is_available", lambda: False)
    monkeypatch.setattr("zeus.device.cpu.rapl.RAPL_DIR", str(tmp_path / "intel-rapl"))
    monkeypatch.setattr("zeus.device.cpu.rapl.CONTAINER_RAPL_DIR", str(tmp_path / "no"))
    for one in kept:
        one.cache_clear()
    yield
    for one in kept:
        one.cache_clear()


@pytest.fixture
def nvidia(driver, monkeypatch):
    """Zeus's NVIDIA layer on the simulated driver."""

    def put(powers_w, **kwargs):
        simulated = driver(powers_w, **kwargs)
        vars(simulated).update(NVIDIA)
        monkeypatch.setattr("zeus.device.gpu.nvidia.pynvml", simulated)
        return simulated

    return put


def measured(metering, seconds=1.1, **kwargs):
    start_s = time.monotonic()
    time.sleep(seconds)
    end_s = time.monotonic()
    metering.settle(end_s)
    return metering.energy(start_s, end_s, **kwargs), end_s - start_s


def test_nvidia_gpus_are_read_by_their_steps_under_our_clock(nvidia):
    """Each GPU has the name that NVML's meter gives it, and its own joules."""
    nvidia([300.0, 100.0])
    with open_meters(["zeus"], gpus=gpu.discover()) as metering:
        reading, seconds = measured(metering)
        (told,) = metering.describe()
    energies_j = {row["device"]: row["energy_j"] for row in reading.per_device}
    assert energies_j["GPU-0"] / seconds == pytest.approx(300, rel=0.05)
    assert energies_j["GPU-1"] / seconds == pytest.approx(100, rel=0.05)
    assert (reading.meter, reading.method) == ("zeus", "counter_interpolated")
    assert (told["basis"], told["facts"]["sources"]["GPU-0"]["steps"]) == (
        "measured",
        True,
    )
    assert told["period_s"] == pytest.approx(0.05, rel=0.2)
    assert told["version"].count(".") == 2
    assert told["facts"]["absent"].keys() == {"cpu", "soc"}


def test_only_the_gpus_of_the_run_are_read(nvidia):
    """A GPU that was not chosen costs no reads."""
    nvidia([300.0, 100.0])
    chosen = [one for one in gpu.discover() if one.uuid == "GPU-1"]
    metering = open_meters(["zeus"], gpus=chosen)
    assert [device["id"] for device in metering.describe()[0]["devices"]] == ["GPU-1"]
    metering.stop()


def test_nvml_and_zeus_agree_on_one_gpu(nvidia):
    """Zeus after NVML is a cross-check of the same counter."""
    nvidia([300.0])
    with open_meters(["nvml", "zeus"], gpus=gpu.discover()) as metering:
        reading, seconds = measured(metering)
    (row,) = reading.crosscheck
    assert reading.gross_j / seconds == pytest.approx(300, rel=0.05)
    assert (row["meter"], reading.meter) == ("zeus", "nvml")
    assert abs(row["difference_pct"]) < 5
    assert reading.flags == []


def test_a_gpu_without_a_counter_gives_power(nvidia, monkeypatch):
    """Older GPUs are integrated, and the method says so."""
    simulated = nvidia([250.0], no_counter={0})
    value = SimpleNamespace(uiVal=250_000)
    reply = [SimpleNamespace(nvmlReturn=0, value=value)]
    simulated.nvmlDeviceGetFieldValues = lambda handle, fields: reply
    with open_meters(["zeus"], gpus=gpu.discover()) as metering:
        reading, seconds = measured(metering, 0.3)
    assert reading.gross_j == pytest.approx(250 * seconds)
    assert reading.method == "power_integrated"


def test_a_lost_gpu_is_null_with_zeus_s_word(nvidia):
    """What Zeus raises is counted, and there is no number."""
    simulated = nvidia([300.0])
    with open_meters(["zeus"], gpus=gpu.discover()) as metering:
        simulated.fails[0] = simulated.NVML_ERROR_GPU_IS_LOST
        time.sleep(1.0)
        reading, _ = measured(metering, 0.2)
        (told,) = metering.describe()
    assert reading.gross_j is None
    assert told["sampler"]["reason"].startswith("ZeusGPULostError")
    assert told["facts"]["sources"]["GPU-0"]["errors"]


class Amd:
    """A GPU of another vendor, whose counter moves all the time."""

    gpu_index = 0

    def get_name(self):
        return "Instinct"

    def get_total_energy_consumption(self):
        return time.monotonic() * 400e3


def test_a_counter_that_never_rests_needs_no_steps(monkeypatch):
    """An AMD GPU's reads are its edges, and its place is its name."""
    monkeypatch.setattr("zeus.device.gpu._gpus", SimpleNamespace(gpus=[Amd()]))
    with open_meters(["zeus"], gpus=[]) as metering:
        reading, seconds = measured(metering, 0.5)
        (told,) = metering.describe()
    assert reading.gross_j == pytest.approx(400 * seconds, rel=0.02)
    assert [row["device"] for row in reading.per_device] == ["zeus:gpu0"]
    assert told["facts"]["sources"]["zeus:gpu0"]["reads"] < 15


def zone(path, name, energy_uj):
    path.mkdir(parents=True)
    (path / "name").write_text(name)
    (path / "energy_uj").write_text(str(energy_uj))
    (path / "max_energy_range_uj").write_text("262143328850")


def test_rapl_packages_and_memory_without_what_holds_them(tmp_path):
    """Zeus lists psys as one more CPU; here it is no part of the sum.

    A counter that wraps goes on, and no process of Zeus's is left to itself.
    """
    package, psys = (tmp_path / "intel-rapl" / f"intel-rapl:{k}" for k in range(2))
    zone(package, "package-0", 262_143_000_000)
    zone(package / "intel-rapl:0:0", "dram", 500_000)
    zone(psys, "psys", 9_000_000)
    before = multiprocessing.active_children()
    with open_meters(["zeus"], gpus=[]) as metering:
        start_s = time.monotonic()
        time.sleep(0.15)
        (package / "energy_uj").write_text("2671150")
        (package / "intel-rapl:0:0" / "energy_uj").write_text("700000")
        time.sleep(0.15)
        end_s = time.monotonic()
        assert metering.settle(end_s)
        reading = metering.energy(start_s, end_s)
        assert multiprocessing.active_children() == before
    assert reading.scope == ["cpu", "dram"]
    assert (reading.cpu_j, reading.dram_j) == (pytest.approx(3.0), pytest.approx(0.2))


def test_a_chip_s_parts_are_told_apart(monkeypatch):
    """CPU and GPU of a system on a chip are scopes; its total is none."""
    from zeus.device.soc.jetson import Jetson, JetsonMeasurement

    class Chip(Jetson):
        def __init__(self):
            pass

        def get_available_metrics(self):
            return {"cpu_energy_mj", "gpu_energy_mj", "total_energy_mj"}

        def get_total_energy_consumption(self):
            now_s = time.monotonic()
            return JetsonMeasurement(
                cpu_energy_mj=2e3 * now_s,
                gpu_energy_mj=5e3 * now_s,
                total_energy_mj=9e3 * now_s,
            )

    monkeypatch.setattr("zeus.device.soc._soc", Chip())
    with open_meters(["zeus"], gpus=[]) as metering:
        reading, seconds = measured(metering, 0.5)
    assert reading.scope == ["gpu"]
    assert reading.gross_j == pytest.approx(5 * seconds, rel=0.05)
    assert reading.cpu_j == pytest.approx(2 * seconds, rel=0.05)


def test_where_there_is_nothing_the_reasons_and_the_remedy_are_told(monkeypatch):
    """The error has Zeus's words for each kind and what would help."""
    monkeypatch.setattr("zeus.device.gpu.nvml_is_available", lambda: False)
    with pytest.raises(MeterError, match=r"nothing to meter \(gpu: .*; cpu: .*; soc:"):
        open_meters(["zeus"], gpus=[])


def test_gpus_named_by_uuid_in_the_environment_are_explained(nvidia, monkeypatch):
    """Zeus knows places only, and says so with the value."""
    nvidia([300.0])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-0")
    with pytest.raises(MeterError, match="CUDA_VISIBLE_DEVICES is 'GPU-0'"):
        open_meters(["zeus"], gpus=[])


def test_without_the_library_the_error_names_the_install_command(monkeypatch):
    """Named and not installed is an error with the remedy."""
    monkeypatch.setitem(sys.modules, "zeus.device", None)
    with pytest.raises(MeterError, match=r"pip install 'pytest-lem\[zeus\]'"):
        open_meters(["zeus"], gpus=[])
    with pytest.raises(ConfigError, match="takes no argument"):
        open_meters(["zeus:0"], gpus=[])
