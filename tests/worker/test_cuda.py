"""What CUDA itself sees, before an engine is loaded."""

import shutil
import subprocess

import pytest

from pytest_lem.errors import EngineLoadError
from pytest_lem.worker.cuda import devices_asked_for
from pytest_lem.worker.devices import environment_for

NOWHERE = "GPU-00000000-0000-0000-0000-000000000000"


@pytest.fixture
def given(monkeypatch):
    """Put the variables of a worker with these GPUs into the environment."""

    def give(uuids):
        for name, value in environment_for(uuids).items():
            monkeypatch.setenv(name, value)

    return give


def test_without_gpus_cuda_is_not_asked(given, start):
    """A worker for the CPU has no devices, and needs no driver."""
    given(None)
    assert devices_asked_for() == []
    assert start().hello["devices"] == []


def test_a_gpu_that_cuda_cannot_use_ends_the_start(given, start):
    """A worker never goes on with the CPU where it was given a GPU."""
    given([NOWHERE])
    with pytest.raises(EngineLoadError, match=f"CUDA does not start on {NOWHERE}"):
        devices_asked_for()
    with pytest.raises(EngineLoadError, match="fake, hello: CUDA does not start"):
        start()


@pytest.mark.gpu
@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="no NVIDIA driver")
def test_a_worker_tells_the_gpus_it_sees(given, start):
    """CUDA's own UUIDs are those that the driver's tool tells."""
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    uuids = told.stdout.split()[::-1]
    given(uuids)
    assert start().hello["devices"] == uuids
    given([*uuids, NOWHERE])
    with pytest.raises(EngineLoadError, match=f"it sees {len(uuids)} of these"):
        start()
