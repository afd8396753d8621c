"""What CUDA itself sees, before an engine is loaded."""

import os
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


def test_without_cuda_no_context_is_opened(given, start):
    """A worker for the CPU says so, and its engine loads as ever."""
    given(None)
    client = start()
    assert client.open_contexts() == 0
    assert client.load({}).devices == ["cpu"]


# As much of the driver as is called, for two devices; the second may refuse.
DRIVER = """
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
int cuInit(unsigned flags) { return flags; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal + 40; return 0; }
int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
    memset(uuid, device, 16); return 0;
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
    FILE *log = fopen(getenv("LEM_TEST_RETAINED"), "a");
    fprintf(log, "%d ", device);
    fclose(log);
    *context = log;
    return getenv("LEM_TEST_REFUSED") && device == 41 ? 2 : 0;
}
"""


@pytest.fixture
def driver(tmp_path, monkeypatch, given):
    """A worker's environment with two GPUs of a simulated driver; who was retained."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build a simulated driver with")
    (tmp_path / "driver.c").write_text(DRIVER)
    library, log = tmp_path / "libcuda.so.1", tmp_path / "retained.txt"
    command = [compiler, "-shared", "-fPIC", "-o", library, tmp_path / "driver.c"]
    subprocess.run(command, check=True, capture_output=True)
    paths = [str(tmp_path), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    monkeypatch.setenv("LD_LIBRARY_PATH", os.pathsep.join(paths))
    monkeypatch.setenv("LEM_TEST_RETAINED", str(log))
    given([f"GPU-{'28' * 4}", f"GPU-{'29' * 4}"])
    return log


def test_the_primary_context_of_each_gpu_is_opened_once(driver, start):
    """By the device that the driver names, in its order."""
    client = start()
    assert [uuid[4:6] for uuid in client.hello["devices"]] == ["28", "29"]
    assert client.open_contexts() == 2
    assert driver.read_text().split() == ["40", "41"]


def test_a_context_that_cannot_be_opened_is_an_error(driver, start, monkeypatch):
    """By name, with the driver's own number; the worker is not used again."""
    monkeypatch.setenv("LEM_TEST_REFUSED", "1")
    client = start()
    told = "no CUDA context could be opened: cuDevicePrimaryCtxRetain returned CUDA er"
    with pytest.raises(EngineLoadError, match=told):
        client.open_contexts()
    assert not client.usable


@pytest.mark.gpu
@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="no NVIDIA driver")
def test_a_real_context_is_opened_on_each_gpu(given, start):
    """As many as were given."""
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    given(told.stdout.split())
    assert start().open_contexts() == len(told.stdout.split())
