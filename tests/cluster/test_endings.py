"""How a session on nodes ends: by a cycle that is lost, and well."""

import platform
import re
from pathlib import Path

import pytest

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
