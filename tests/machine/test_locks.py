"""One session for each GPU, with real processes."""

import json
import os
import signal
import subprocess
import sys

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.machine.locks import GpuLocks, neighbours

GPU, OTHER = "GPU-aaaa", "GPU-bbbb"
HOLD = """
import os, sys
from pytest_lem.machine.locks import GpuLocks
locks = GpuLocks()
locks.take(sys.argv[2:], session="theirs")
if sys.argv[1] == "forks":
    heard, told = os.pipe()
    if not os.fork():
        os.write(told, b".")
        sys.exit(sys.stdin.read())
    os.read(heard, 1)  # the child has begun, and so has let go
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LEM_CACHE_DIR", str(tmp_path))
    return tmp_path / "locks"


@pytest.fixture
def other():
    """Start processes that hold locks until they are told to end."""
    started = []

    def start(*gpus, how="alone"):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, how, *gpus],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.communicate()


@pytest.fixture
def locks():
    ours = GpuLocks()
    yield ours
    ours.release()


def test_a_gpu_that_is_measured_is_refused_with_pid_since_when_and_the_way_out(
    other, locks
):
    """One line says who has it, and what to do."""
    process = other(GPU)
    with pytest.raises(ConfigError) as caught:
        locks.take([GPU], session="ours")
    told = str(caught.value)
    assert f"{GPU} is being measured by process {process.pid} since 20" in told
    assert "(session theirs)" in told
    assert "--lem-no-lock" in told
    assert "\n" not in told


def test_other_gpus_are_free(other, locks):
    """Two sessions on two GPUs do not meet."""
    other(GPU)
    locks.take([OTHER], session="ours")


def test_of_several_gpus_all_are_locked_or_none(other, locks):
    """What was taken before the one that is busy is given back."""
    other(GPU)
    with pytest.raises(ConfigError, match=GPU):
        locks.take([OTHER, GPU], session="ours")
    other(OTHER)


@pytest.mark.parametrize("how", ["alone", "forks"])
def test_the_lock_of_a_killed_process_is_taken_over(folder, other, locks, how):
    """`kill -9` frees it at once, also where a forked child lives on."""
    process = other(GPU, how=how)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert json.loads((folder / f"{GPU}.lock").read_text())["session"] == "theirs"
    locks.take([GPU], session="ours")
    told = json.loads((folder / f"{GPU}.lock").read_text())
    assert (told["pid"], told["session"]) == (os.getpid(), "ours")


def test_what_is_released_can_be_taken_again(locks, other):
    """A session that has ended leaves nothing locked."""
    locks.take([GPU], session="ours")
    locks.release()
    other(GPU)


def test_a_file_that_says_nothing_still_holds(folder, other, locks):
    """Who it is may be unknown; that it is taken is not."""
    other(GPU)
    (folder / f"{GPU}.lock").write_text("")
    with pytest.raises(ConfigError, match="measured by another session"):
        locks.take([GPU], session="ours")


def test_a_folder_that_cannot_be_written_is_told(folder, locks):
    """The error names the place and both remedies."""
    folder.write_text("a file")
    with pytest.raises(ConfigError, match=r"LEM_CACHE_DIR.*--lem-no-lock") as caught:
        locks.take([GPU], session="ours")
    assert str(folder) in str(caught.value)


def test_neighbours_are_the_gpus_that_others_measure_now(locks, other):
    """Not our own, nor one whose session has ended; nobody's lock is touched."""
    locks.take([GPU], session="ours")
    process = other(OTHER)
    found = neighbours([GPU])
    assert {gpu: who.session for gpu, who in found.items()} == {OTHER: "theirs"}
    process.communicate()
    assert neighbours([GPU]) == {}
