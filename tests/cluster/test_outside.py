"""A driver that is no part of the cluster, by Ray's client server."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from pytest_lem.cluster.connect import connected
from pytest_lem.errors import ConfigError
from tests.cluster.conftest import wait_for

pytestmark = pytest.mark.slow
pytest.importorskip("ray")
pytest.importorskip("grpc", reason="it is in ray[client]")

SOURCE = """
import pytest

@pytest.mark.parametrize("batch_size", [1, 2])
def test_it(lem, batch_size):
    lem()
"""
SLOW = """
import time
import pytest

@pytest.mark.parametrize("batch_size", range(1, 9))
def test_it(lem, batch_size):
    lem()
    time.sleep(2)
"""
# Of this process alone: nodes are asked for the version that is installed.
OTHER = """
def pytest_configure():
    import ray
    ray.__version__ = "2.1.0"
"""


@pytest.fixture
def outside(cluster, monkeypatch):
    """The address of a cluster, as those outside of it have it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cluster(2, ray_client_server_port=port)
    monkeypatch.delenv("RAY_ADDRESS")
    return f"ray://127.0.0.1:{port}"


@pytest.mark.parametrize("more", [(), ("--lem-ship",)])
def test_a_driver_outside_has_nodes_measure(outside, drive, report, more):
    """One report, as from within."""
    result = drive(f"--lem-launch={outside}", "--lem-json=r.json", *more, source=SOURCE)
    result.assert_outcomes(passed=2)
    found = report()
    assert found.session.status == "complete"
    assert [len(one.cycles) for one in found.experiments] == [2, 2]


def test_who_is_outside_is_told_what_the_cluster_can_measure(outside):
    """As those within are."""
    told = subprocess.run(
        ["lem", "cluster", outside, "--meter=fake", "--seconds=0.5"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.count("fake: synthetic") == 2


def test_an_address_without_a_client_server_is_refused_with_the_remedy(outside):
    """At once, in one line: nothing is there, or the head itself."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nothing = f"ray://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ConfigError, match="no Ray cluster answers at") as caught:
        connected(nothing).__enter__()
    with connected(outside) as ray:
        books = f"ray://{ray.get_runtime_context().gcs_address}"
    with pytest.raises(ConfigError, match="is not Ray's client server: ") as second:
        connected(books).__enter__()
    assert "\n" not in caught.value.message + second.value.message


def test_a_driver_of_another_version_is_refused_in_one_line(
    outside, drive, project, errors_of
):
    """With both versions, before anything runs."""
    project.makeconftest(OTHER)
    result = drive(f"--lem-launch={outside}", source=SOURCE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = errors_of(result)
    assert "2.1.0" in line
    assert "has other versions than this environment" in line


@pytest.fixture
def begun(outside, driver, project, cycles):
    """A driver outside, of which two cycles are on disk; its address."""
    project.makepyfile(test_it=SLOW)
    session = driver(f"--lem-launch={outside}", "--lem-json=r.json")
    wait_for(lambda: len(cycles()) >= 2, 120)
    return session, outside


def test_a_driver_outside_that_is_killed_leaves_nothing_on_the_nodes(begun, left):
    """Its client server waits for half a minute whether it comes back."""
    session, _ = begun
    session.kill()
    session.wait()
    wait_for(lambda: not left(), 120)


def test_an_interrupt_outside_leaves_nothing_on_the_nodes(begun, report, left):
    """What was measured is in the report."""
    session, _ = begun
    session.send_signal(signal.SIGINT)
    assert session.wait(60) == pytest.ExitCode.INTERRUPTED
    wait_for(lambda: not left(), 60)
    found = report()
    assert found.session.status == "interrupted"
    assert sum(len(one.cycles) for one in found.experiments) >= 2


def test_a_client_server_that_is_gone_ends_the_session_by_name(
    begun, project, report, left
):
    """What was measured is in the report, and nothing runs on."""
    session, address = begun
    os.kill(server_of(address), signal.SIGKILL)
    assert session.wait(120) == pytest.ExitCode.INTERRUPTED
    text = (project.path / "driver.txt").read_text()
    assert "Ray's client server does not answer any more" in text
    assert "--lem-resume" in text
    assert sum(len(one.cycles) for one in report().experiments) >= 2
    wait_for(lambda: not left(), 120)


def server_of(address):
    """The process that listens there."""
    port = f"--port={address.rpartition(':')[2]}"
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_text().split("\0")
        if "ray.util.client.server" in words and port in words:
            return int(path.parent.name)
    raise AssertionError(address)
