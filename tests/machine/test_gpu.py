"""GPUs as the driver tells of them."""

import json

import pytest

from pytest_lem.errors import MeterError
from pytest_lem.machine import gpu

without_gpu = pytest.mark.skipif(gpu.absence() is None, reason="a GPU is here")
with_gpu = pytest.mark.skipif(gpu.absence() is not None, reason=str(gpu.absence()))


@pytest.mark.parametrize(
    ("bitmask", "names"),
    [
        (0, ()),
        (0x1, ("gpu_idle",)),
        (0x4, ("sw_power_cap",)),
        (0x28, ("hw_slowdown", "sw_thermal")),
        (0xC0, ("hw_thermal", "hw_power_brake")),
        (0x112, ("app_clocks", "sync_boost", "display")),
    ],
)
def test_throttle_reasons_have_names(bitmask, names):
    """Each bit of the driver's mask has one name."""
    assert gpu.throttle_reasons(bitmask) == names


def test_the_names_agree_with_the_drivers_header():
    """The bits are those of NVML, in its newer spelling."""
    pynvml = pytest.importorskip("pynvml")
    expected = {
        pynvml.nvmlClocksEventReasonGpuIdle: "gpu_idle",
        pynvml.nvmlClocksEventReasonApplicationsClocksSetting: "app_clocks",
        pynvml.nvmlClocksEventReasonSwPowerCap: "sw_power_cap",
        pynvml.nvmlClocksThrottleReasonHwSlowdown: "hw_slowdown",
        pynvml.nvmlClocksEventReasonSyncBoost: "sync_boost",
        pynvml.nvmlClocksEventReasonSwThermalSlowdown: "sw_thermal",
        pynvml.nvmlClocksThrottleReasonHwThermalSlowdown: "hw_thermal",
        pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown: "hw_power_brake",
        pynvml.nvmlClocksEventReasonDisplayClockSetting: "display",
    }
    assert {gpu.throttle_reasons(bit) for bit in expected} == {
        (name,) for name in expected.values()
    }
    assert all(gpu.throttle_reasons(bit) == (name,) for bit, name in expected.items())


@without_gpu
def test_without_a_driver_there_are_no_gpus_and_a_reason():
    """No driver is no error until a GPU is asked for."""
    assert gpu.discover() == []
    assert gpu.absence()
    with pytest.raises(MeterError, match="nvml: "), gpu.nvml():
        pass


def test_facts_are_plain_data_and_unknown_ones_are_none():
    """A GPU of which only the name is known has null for the rest."""
    told = gpu.Gpu(index=0, uuid="GPU-x", name="X", throttle_reasons=("gpu_idle",))
    data = json.loads(json.dumps(told.to_json()))
    assert data["throttle_reasons"] == ["gpu_idle"]
    assert data["power_limit_w"] is None


@pytest.mark.parametrize(
    ("name", "boundary"),
    [
        ("NVIDIA H100 80GB HBM3", "gpu"),
        ("NVIDIA H200", "gpu"),
        ("NVIDIA B200", "gpu"),
        ("NVIDIA GH200 144G HBM3e", "module"),
        ("NVIDIA GB200", "module"),
        ("NVIDIA GB300", "module"),
    ],
)
def test_superchips_count_their_whole_module(name, boundary):
    """By the name that the driver gives them."""
    assert gpu.boundary(name) == boundary
    assert gpu.Gpu(index=0, uuid="x", name=name).to_json()["boundary"] == boundary


@pytest.mark.gpu
@with_gpu
def test_a_real_gpu_tells_its_facts():
    """Name, memory and limits of the first GPU are there and sensible."""
    first = gpu.discover()[0]
    assert first.uuid.startswith(("GPU-", "MIG-"))
    assert first.memory_mb > 1000
    assert first.driver_version


@pytest.mark.gpu
@with_gpu
def test_nvml_is_shared_by_all_its_users():
    """The first to leave does not shut it down under the second."""
    with gpu.nvml() as outer:
        with gpu.nvml():
            pass
        assert outer.nvmlDeviceGetCount() >= 1
