"""What CUDA itself sees, before an engine is loaded."""

import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_lem.engines import Capabilities
from pytest_lem.errors import EngineLoadError
from pytest_lem.worker.cuda import named
from pytest_lem.worker.devices import environment_for
from pytest_lem.worker.launch.ranks import ranks_of

NOWHERE = "GPU-00000000-0000-0000-0000-000000000000"


def uuid_of(device, kind="GPU"):
    """What the simulated driver below calls its device of that number."""
    return f"{kind}-{'-'.join(f'{device:02x}' * n for n in (4, 2, 2, 2, 6))}"


def environ_of(pid):
    """The environment that a process was started with."""
    told = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(one.split("=", 1) for one in told if one)


def real_gpus():
    """UUIDs by the driver's own tool."""
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_without_gpus_cuda_is_not_asked(start):
    """A worker for the CPU has no devices, and needs no driver."""
    assert start(gpus=()).hello["devices"] == []


def test_a_gpu_that_cuda_cannot_use_ends_the_start(start):
    """A worker never goes on with the CPU where it was given a GPU."""
    told = f"fake, hello: CUDA does not start on {NOWHERE}"
    with pytest.raises(EngineLoadError, match=told):
        start(gpus=[NOWHERE])


@pytest.mark.gpu
@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="no NVIDIA driver")
def test_a_worker_tells_the_gpus_it_sees(start):
    """CUDA's own UUIDs are those that the driver's tool tells."""
    uuids = real_gpus().split()[::-1]
    assert start(gpus=uuids).hello["devices"] == uuids
    with pytest.raises(EngineLoadError, match=f"it sees {len(uuids)} of these"):
        start(gpus=[*uuids, NOWHERE])


def test_without_cuda_no_context_is_opened(start):
    """A worker for the CPU says so, and its engine loads as ever."""
    client = start(gpus=())
    assert client.open_contexts() == 0
    assert client.load({}).devices == ["cpu"]


@pytest.fixture
def driver(cuda_driver, monkeypatch):
    """A simulated driver for workers; who was retained of its devices."""
    log = cuda_driver / "retained.txt"
    monkeypatch.setenv("LEM_TEST_RETAINED", str(log))
    return log


def test_the_primary_context_of_each_gpu_is_opened_once(driver, start):
    """By the device that the driver names, in the order of the run."""
    gpus = [uuid_of(41), uuid_of(40)]
    client = start(gpus=gpus)
    assert client.hello["devices"] == gpus
    assert client.open_contexts() == 2
    assert driver.read_text().split() == ["41", "40"]


def test_a_context_that_cannot_be_opened_is_an_error(driver, start, monkeypatch):
    """By name, with the driver's own number; the worker is not used again."""
    monkeypatch.setenv("LEM_TEST_REFUSED", "1")
    client = start(gpus=[uuid_of(41)])
    told = "no CUDA context could be opened: cuDevicePrimaryCtxRetain returned CUDA er"
    with pytest.raises(EngineLoadError, match=told):
        client.open_contexts()
    assert not client.usable


@pytest.mark.parametrize(
    ("others", "gpus", "told"),
    [
        ("", [40, 99, 41], "it sees 1 of these 3 GPUs"),
        ("1", [40, 41], f"it sees others, {uuid_of(43)[4:]},{uuid_of(41)[4:]}"),
    ],
)
def test_a_worker_that_sees_other_gpus_than_its_own_ends(
    driver, start, monkeypatch, others, gpus, told
):
    """Its engine would use what is not metered, or the CPU."""
    if others:
        monkeypatch.setenv("LEM_TEST_OTHERS", others)
    with pytest.raises(EngineLoadError, match=f"does not start on GPU-28.*: {told}"):
        start(gpus=map(uuid_of, gpus))


def test_an_instance_of_mig_is_told_by_the_name_it_was_given(driver, start):
    """CUDA gives both kinds of UUID without their kind."""
    instance = uuid_of(42, kind="MIG")
    assert start(gpus=[instance]).hello["devices"] == [instance]


def test_an_engine_s_names_of_devices_become_uuids(monkeypatch):
    """They count among the GPUs of the worker; the CPU stays what it is."""
    for name, value in environment_for([uuid_of(41), uuid_of(40)]).items():
        monkeypatch.setenv(name, value)
    assert named(["cuda:1", "cpu", "cuda:0"]) == [uuid_of(40), "cpu", uuid_of(41)]


def test_what_was_said_to_this_process_does_not_reach_its_workers(
    driver, start, monkeypatch
):
    """Neither its GPUs nor its rank: worker and ranks have their own."""
    outer = {
        "CUDA_VISIBLE_DEVICES": "7",
        "CUDA_DEVICE_ORDER": "FASTEST_FIRST",
        "ROCR_VISIBLE_DEVICES": "0",
        "LOCAL_RANK": "3",
        "WORLD_SIZE": "8",
        "MASTER_PORT": "1234",
        "OMPI_COMM_WORLD_RANK": "3",
        "PMIX_RANK": "3",
        "LEM_TEST_KEPT": "yes",
    }
    for name, value in outer.items():
        monkeypatch.setenv(name, value)
    gpus = [uuid_of(42), uuid_of(40)]
    capabilities = Capabilities(launch="accelerate", shards="size")
    crew = start(gpus=(), ranks=ranks_of(capabilities, {"size": 2}, gpus))
    assert crew.hello["devices"] == gpus
    theirs = [environ_of(pid) for pid in crew.hello["ranks"]]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in theirs] == gpus
    assert [(one["RANK"], one["LOCAL_RANK"]) for one in theirs] == [
        ("0", "0"),
        ("1", "0"),
    ]
    worker = environ_of(crew.hello["pid"])
    assert worker["CUDA_VISIBLE_DEVICES"] == ""
    assert "RANK" not in worker
    for one in (worker, *theirs):
        left = {name for name, value in outer.items() if one.get(name) == value}
        assert left == {"LEM_TEST_KEPT"}


@pytest.mark.gpu
@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="no NVIDIA driver")
def test_a_real_context_is_opened_on_each_gpu(start):
    """As many as were given."""
    uuids = real_gpus().split()
    assert start(gpus=uuids).open_contexts() == len(uuids)
