"""Who else is on a GPU, as the driver tells it."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from pytest_lem.machine.processes import family, housemates, tenancies

HOST = "pid:[4026531836]"


@pytest.fixture
def proc(tmp_path):
    """A /proc whose own processes are in that namespace."""

    def make(namespace):
        (tmp_path / "self/ns").mkdir(parents=True)
        (tmp_path / "self/ns/pid").symlink_to(namespace)
        return tmp_path

    return make


def pids(tenancy):
    return tenancy.processes and [one.pid for one in tenancy.processes]


def test_others_are_those_that_are_not_ours(driver, proc):
    """Each GPU has its own; a process is named, and counted once."""
    simulated = driver([300.0, 100.0])
    simulated.processes = {0: [10, 11], 1: [12]}
    simulated.nvmlDeviceGetGraphicsRunningProcesses = lambda handle: [
        SimpleNamespace(pid=pid, usedGpuMemory=None) for pid in (11, 13) if handle == 0
    ]
    found = tenancies(["GPU-0", "GPU-1"], ours={10, 12, 99}, proc=proc(HOST))
    assert pids(found["GPU-0"]) == [11, 13]
    assert [str(one) for one in found["GPU-0"].processes] == [
        "11 (busy-11, compute)",
        "13 (busy-13, graphics)",
    ]
    assert found["GPU-1"].to_json() == {
        "foreign_processes": [],
        "foreign_unknown": None,
    }


@pytest.mark.parametrize(
    ("listed", "ours", "foreign"),
    [
        ([], (), None),
        ([], {10}, None),
        ([70], (), [70]),
        ([70], {10}, None),
        ([10, 70], {10}, [70]),
        ([10], {10}, []),
    ],
)
def test_in_a_container_what_cannot_be_known_is_unknown(
    driver, proc, listed, ours, foreign
):
    """An empty list says nothing there, nor numbers among which ours may be."""
    driver([300.0]).processes = {0: listed}
    (found,) = tenancies(["GPU-0"], ours=ours, proc=proc("pid:[4026532999]")).values()
    assert pids(found) == (foreign if foreign is None else foreign or ())
    assert (found.reason is None) is (foreign is not None)


def test_a_driver_that_does_not_tell_leaves_it_unknown(driver, proc):
    """As does a driver that is not there: never that nobody is."""
    simulated = driver([300.0])
    simulated.fails = {0: simulated.NVML_ERROR_NOT_SUPPORTED}
    (found,) = tenancies(["GPU-0"], proc=proc(HOST)).values()
    assert (found.processes, found.reason) == (None, "the driver does not tell")
    assert tenancies([]) == {}


def test_a_family_has_children_and_theirs():
    """A worker's engine may start processes; those that ended are not in it."""
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        process_group=0,
    ) as parent:
        while len(found := family(parent.pid)) < 2:
            assert parent.poll() is None
        assert os.getpid() not in found
        parent.communicate(b"\n")
    assert family(parent.pid) == {parent.pid}


def test_a_container_is_all_of_its_namespace(tmp_path):
    """Also who was put there from outside; not who may not be looked at.

    A container that was given the namespace of this process is nobody's own.
    """
    for pid, at in {7: "a", 8: "b", 9: "b", 10: None, "self": "a"}.items():
        entry = tmp_path / str(pid)
        (entry / "ns").mkdir(parents=True)
        (entry / "stat").write_text(f"{pid} (x) S 1 {pid} 0")
        if at is not None:
            (entry / "ns" / "pid").symlink_to(f"pid:[{at}]")
    assert housemates(8, proc=tmp_path) == {8, 9}
    assert housemates(10, proc=tmp_path) == housemates(7, proc=tmp_path) == set()
    assert family(7, inside=9, proc=tmp_path) == {7, 8, 9}
