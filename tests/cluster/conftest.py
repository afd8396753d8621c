"""A local Ray cluster of three nodes, each a raylet of its own on this machine."""

import pytest

MB = 1024**2


@pytest.fixture(scope="module")
def three_nodes():
    """Ray's own utility for it: a head and two more, found by their address."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args=node("head"),
    )
    try:
        for name in ("second", "third"):
            cluster.add_node(**node(name))
        yield cluster
    finally:
        cluster.shutdown()


def node(name):
    """What a small node of that name is started with."""
    return {
        "num_cpus": 2,
        "object_store_memory": 80 * MB,
        "include_dashboard": False,
        "labels": {"name": name},
    }
