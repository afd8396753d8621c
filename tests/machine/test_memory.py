"""Memory in use, as a driver tells it."""

import pytest

from pytest_lem.errors import MeterError
from pytest_lem.machine.memory import fullest, used


def test_all_gpus_are_counted_and_our_processes_apart(driver):
    """Two GPUs, of which one has another's process as well; each process has 2 MB."""
    simulated = driver([100.0, 100.0])
    simulated.used_bytes = {0: 9_000_000, 1: 5_000_000}
    simulated.processes = {0: [7, 8], 1: [7]}
    found = used(["GPU-0", "GPU-1"], {7})
    assert (found.device_mb, found.process_mb) == (pytest.approx(14), pytest.approx(4))
    assert (found.device_unknown, found.process_unknown) == (None, None)


def test_processes_under_other_numbers_are_not_a_zero(driver):
    """As in a container, where the driver has the host's numbers."""
    simulated = driver([100.0])
    simulated.used_bytes, simulated.processes = {0: 9_000_000}, {0: [4711]}
    found = used(["GPU-0"], {7})
    assert (found.device_mb, found.process_mb) == (pytest.approx(9), None)
    assert found.process_unknown == "process_not_seen_by_driver"


def test_a_gpu_that_does_not_tell_leaves_no_sum(driver):
    """Half of the memory is not the memory."""
    simulated = driver([100.0, 100.0])
    simulated.used_bytes, simulated.processes = {0: 9_000_000}, {0: [7]}
    found = used(["GPU-0", "GPU-1"], {7})
    assert (found.device_mb, found.process_mb) == (None, None)
    assert found.device_unknown == "not_reported_by_driver"


def test_without_gpus_or_driver_there_is_none(monkeypatch):
    """And the reasons differ."""
    assert used([], ()).device_unknown == "no_device_memory"

    def missing():
        raise MeterError("nvml: no NVIDIA driver")

    monkeypatch.setattr("pytest_lem.machine.memory.nvml", missing)
    assert used(["GPU-0"], ()).process_unknown == "no_driver"


def test_the_fullest_gpu_is_told_by_its_share(driver):
    """A GPU that does not tell is left out; without any nothing is known."""
    driver([100.0] * 3).used_bytes = {0: 8_000_000_000, 2: 60_000_000_000}
    assert fullest(["GPU-0", "GPU-1", "GPU-2"]) == pytest.approx(0.75)
    assert fullest(["GPU-1"]) is None
    assert fullest([]) is None
