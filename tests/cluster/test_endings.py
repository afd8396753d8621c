"""How a session on nodes ends: by a failure, a lost cycle, without its head, well."""

import os
import platform
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.cluster.conftest import is_running, keeper_of, wait_for

pytestmark = pytest.mark.slow
pytest.importorskip("ray")

FAILING = """
import pytest

@pytest.mark.parametrize("batch_size", range(1, 9))
def test_it(lem, batch_size):
    lem()
    assert batch_size in (1, 2)
"""
DEADLY = """
import os
import signal
import pytest

@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_it(lem, batch_size):
    lem()
    if batch_size == 2:
        os.kill(os.getpid(), signal.SIGKILL)
"""
SLOW = """
import time
from pathlib import Path
import pytest

@pytest.mark.parametrize("batch_size", range(1, 9))
def test_it(lem, batch_size):
    lem()
    time.sleep(6 * Path(__file__).with_name("slow").exists())
"""
STUBBORN = """
import time
import pytest

@pytest.mark.parametrize("batch_size", range(1, 9))
def test_it(lem, batch_size):
    lem()
    try:
        time.sleep(batch_size > 2 and 300)
    except KeyboardInterrupt:
        time.sleep(300)
"""


@pytest.mark.parametrize(("said", "most"), [("-x", 1), ("--maxfail=2", 2)])
def test_a_session_ends_at_as_many_failures_as_were_said(
    cluster, drive, report, said, most
):
    """Though others run at that moment; all that is left runs where it is resumed."""
    cluster(2)
    result = drive(said, source=FAILING)
    result.stdout.fnmatch_lines([f"*stopping after {most} failures*"])
    result.stdout.no_fnmatch_line("lost *")
    assert result.parseoutcomes()["failed"] == most
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    drive("--lem-resume", "--lem-json=r.json").assert_outcomes(passed=2, failed=6)
    assert len(report().experiments) == 8
    for one in report().experiments:
        assert [it.index for it in one.cycles if it.status == "complete"] == [0, 1]


def test_a_cycle_that_is_lost_too_often_fails_by_name(cluster, drive, alive):
    """Others go on in the same place; the log of what died is kept, and named."""
    cluster(1)
    result = drive("--lem-node-retries=3", source=DEADLY)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["node_lost: *SIGKILL*"])
    logs = re.findall(r"^.*lost .*its log is (\S+);", result.stdout.str(), re.MULTILINE)
    assert len(logs) == 4
    assert all(Path(log).exists() for log in logs)
    assert not alive("front.remote.node")


def test_a_session_that_ended_well_leaves_nothing_on_its_nodes(
    cluster, drive, project, monkeypatch, tmp_path
):
    """Neither a log nor what it wrote for itself; tests may have failed."""
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    cluster(1)
    drive("--lem-cycles=1", source=FAILING).assert_outcomes(passed=2, failed=6)
    assert not [*tmp_path.glob("lem-node-*")]
    sessions = project.path / ".lem" / "sessions"
    assert not [*sessions.glob(f"*-{platform.node()}-*")]


@pytest.mark.parametrize("how", ["anew", "gone", "gone with its node"])
def test_a_session_without_its_head_ends_by_name(
    cluster, driver, cycles, project, report, alive, how
):
    """What is measured is kept, nothing is left running; another cluster goes on."""
    found = cluster(2)
    project.makepyfile(test_it=SLOW)
    slow = project.path / "slow"
    slow.touch()
    session = driver("--lem-json=r.json")
    wait_for(lambda: len(cycles()) >= 2)
    keepers = {keeper_of(pid) for pid in alive("front.remote.node")}
    assert keepers
    if how == "gone with its node":
        found.head_node.kill_raylet()
    found.head_node.kill_gcs_server()
    if how == "anew":
        found.head_node.start_gcs_server()
    assert session.wait(150) == pytest.ExitCode.INTERRUPTED
    said = "was started anew" if how == "anew" else "does not answer any more"
    assert said in (project.path / "driver.txt").read_text()
    assert report().session.status == "interrupted"
    wait_for(lambda: not alive("front.remote.node") + alive("lem.worker"), 60)
    wait_for(lambda: not any(map(is_running, keepers)), 60)
    found.shutdown()
    slow.unlink()
    cluster(1)
    assert driver("--lem-resume", "--lem-json=r.json").wait(200) == pytest.ExitCode.OK
    for one in report().experiments:
        done = [it.index for it in one.cycles if it.status == "complete"]
        assert done == [0, 1]
    assert len(report().experiments) == 8


def test_a_head_that_was_started_by_hand_and_comes_back_is_another(
    quiet, ray_start, driver, cycles, project, alive, monkeypatch
):
    """All of its node is gone with it, also what joined the driver to the cluster."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    head = ("--head", f"--port={port}", "--include-dashboard=false")
    first = ray_start(*head)
    wait_for(lambda: answers(port))
    project.makepyfile(test_it=SLOW)
    slow = project.path / "slow"
    slow.touch()
    session = driver()
    wait_for(lambda: len(cycles()) >= 2)
    (gcs,) = alive("gcs/gcs_server")
    os.kill(gcs, signal.SIGKILL)
    first.wait(60)
    ray_start(*head)
    assert session.wait(150) == pytest.ExitCode.INTERRUPTED
    assert "was started anew" in (project.path / "driver.txt").read_text()
    wait_for(lambda: not alive("front.remote.node") + alive("lem.worker"), 60)
    slow.unlink()
    assert driver("--lem-resume").wait(200) == pytest.ExitCode.OK
    assert "8 passed" in (project.path / "driver.txt").read_text()


def answers(port):
    """Whether anything listens there."""
    with socket.socket() as other:
        return not other.connect_ex(("127.0.0.1", port))


def test_a_second_interrupt_waits_for_nobody(cluster, driver, cycles, project, alive):
    """Not for tests either that do not heed the first; nothing is left running."""
    cluster(2)
    project.makepyfile(test_it=STUBBORN)
    session = driver()
    wait_for(lambda: len(cycles()) >= 2 and len(alive("lem.worker")) >= 2)
    time.sleep(1)
    keepers = {keeper_of(pid) for pid in alive("front.remote.node")}
    assert len(keepers) == 2
    session.send_signal(signal.SIGINT)
    time.sleep(1)
    session.send_signal(signal.SIGINT)
    assert session.wait(60) == pytest.ExitCode.INTERRUPTED
    wait_for(lambda: not alive("front.remote.node") + alive("lem.worker"), 60)
    wait_for(lambda: not any(map(is_running, keepers)), 60)
    told = (project.path / "driver.txt").read_text()
    assert "2 of 16 cycles are done" in told
