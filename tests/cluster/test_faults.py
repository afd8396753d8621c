"""Nodes, actors and drivers that end: three real nodes, and 30 experiments."""

import signal

import pytest

from tests.cluster.conftest import wait_for

pytestmark = pytest.mark.slow
pytest.importorskip("ray")

THIRTY = """
import time
import pytest

@pytest.mark.parametrize("output_tokens", range(2, 12))
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_it(lem, batch_size, output_tokens):
    result = lem()
    assert result.output_throughput_tps > 0
    time.sleep(0.5)
"""
REAL = (
    *("--lem-backend=transformers", "--lem-set=transformers.device=cpu"),
    *("--lem-cycles=3", "--lem-start-timeout=300"),
)


def kill(cluster, node):
    """End a node as a machine does that loses its power."""
    cluster.remove_node(node, allow_graceful=False)


def test_thirty_results_whatever_dies(cluster, driver, cycles, project, report, alive):
    """A node is killed twice and the driver once: nothing twice, nothing lost."""
    nodes = cluster(3)
    project.makepyfile(test_it=THIRTY)
    first = driver(*REAL)
    wait_for(lambda: len(cycles()) >= 4)
    kill(nodes, nodes.list_all_nodes()[-1])
    nodes.add_node(num_cpus=1, object_store_memory=80 * 1024**2)
    done = len(cycles())
    wait_for(lambda: len(cycles()) >= done + 4)
    kill(nodes, nodes.list_all_nodes()[-1])
    done = len(cycles())
    wait_for(lambda: len(cycles()) >= done + 4)
    first.kill()
    first.wait()
    wait_for(lambda: not (alive("front.remote.node") + alive("lem.worker")), 60)
    second = driver(*REAL, "--lem-resume", "--lem-json=r.json")
    assert second.wait(400) == pytest.ExitCode.OK
    found = report()
    assert len(found.experiments) == 30
    complete = [
        (one.id, cycle.index)
        for one in found.experiments
        for cycle in one.cycles
        if cycle.status == "complete"
    ]
    assert len(complete) == len(set(complete)) == 90
    assert found.session.status == "complete"
    assert len(found.environment["places"]) >= 2
    wait_for(lambda: not alive("pytest_lem.worker"), 60)


def test_an_interrupt_ends_all_nodes_and_tells_what_was_measured(
    cluster, driver, cycles, project, report, alive
):
    """What ran is marked, nothing is left running, and the rest can be gone on with."""
    cluster(2)
    project.makepyfile(test_it=THIRTY)
    first = driver("--lem-json=r.json")
    wait_for(lambda: len(cycles()) >= 4)
    first.send_signal(signal.SIGINT)
    assert first.wait(60) == pytest.ExitCode.INTERRUPTED
    wait_for(lambda: not (alive("front.remote.node") + alive("lem.worker")), 30)
    found = report()
    assert found.session.status == "interrupted"
    assert sum(len(one.cycles) for one in found.experiments) >= 4
    assert "--lem-resume runs the others" in (project.path / "driver.txt").read_text()
