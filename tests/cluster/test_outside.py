"""A driver that is no part of the cluster, by Ray's client server."""

import socket

import pytest

pytestmark = pytest.mark.slow
pytest.importorskip("ray")
pytest.importorskip("grpc", reason="it is in ray[client]")

SOURCE = """
import pytest

@pytest.mark.parametrize("batch_size", [1, 2])
def test_it(lem, batch_size):
    lem()
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
