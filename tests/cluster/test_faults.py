"""Nodes, actors and drivers that end: three real nodes, and 30 experiments."""

import json
import signal
import subprocess
import sys
import time

import pytest

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


@pytest.fixture
def driver(project):
    """Start a driver; its log is `driver.txt` and is never empty at its end."""
    started = []

    def driver(*arguments):
        command = [sys.executable, "-m", "pytest", "--lem-launch=ray", *arguments]
        log = (project.path / "driver.txt").open("ab")
        started.append(
            subprocess.Popen(command, stdout=log, stderr=log, cwd=project.path)
        )
        log.close()
        return started[-1]

    yield driver
    for one in started:
        if one.poll() is None:
            one.kill()
            one.wait()


@pytest.fixture
def cycles(project):
    """The lines of the driver's journal, whole ones."""

    def cycles():
        found = []
        for plan in (project.path / ".lem" / "sessions").glob("*/plan.json"):
            journal = plan.with_name("cycles.jsonl")
            text = journal.read_text() if journal.exists() else ""
            found += map(json.loads, text.splitlines())
        return found

    return cycles


def wait_for(condition, within_s=240.0):
    """Wait until that holds; fail where it does not."""
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


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
