"""Real clusters of Ray on this machine, and sessions whose driver uses them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pytest_lem.cluster.connect import connected
from tests.plugin.conftest import (  # noqa: F401
    errors_of,
    project,
    report,
    run,
)

ROOT = Path(__file__).parents[2]
MB = 1024**2


def wait_for(condition, within_s=240.0):
    """Wait until that holds; fail where it does not."""
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def keeper_of(pid):
    """The process of the actor that keeps a session."""
    command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    (parent,) = re.findall(r"--parent (\d+)", command)
    return int(parent)


def parent_of(pid):
    """The process that started another."""
    return int(stat(pid)[1])


def is_running(pid):
    """Whether a process is there, and is no zombie."""
    try:
        return stat(pid)[0] != "Z"
    except OSError:
        return False


def stat(pid):
    """What Linux tells of a process, from its state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


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


@pytest.fixture
def alive(tmp_path):
    """The living processes of this test's clusters whose command has a word in it."""

    def alive(word):
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                ours = str(tmp_path).encode() in (entry / "environ").read_bytes()
                if ours and word.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found

    return alive


@pytest.fixture
def ray_start():
    """Start a node by Ray's command, below another command or none."""
    started = []

    def ray_start(*arguments, before=()):
        command = [*before, sys.executable, "-m", "ray.scripts.scripts", "start"]
        command += ["--block", "--num-cpus=1", f"--object-store-memory={80 * MB}"]
        # Its parent may ignore the signal that ends it, and goes when it has gone.
        started.append(
            subprocess.Popen(
                [*command, *arguments],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )
        return started[-1]

    yield ray_start
    for one in started:
        for ending in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(one.pid, ending)
                one.wait(10)


@pytest.fixture
def join(ray_start):
    """Start a node below another command, which says what it sees of the machine."""

    def join(address, before, name):
        ray_start(f"--address={address}", f"--labels=name={name}", before=before)
        wait_for(lambda: _is_there(address, name))

    return join


def _is_there(address, name):
    with connected(address) as ray:
        return any(
            one["Alive"] and one["Labels"].get("name") == name for one in ray.nodes()
        )


@pytest.fixture
def quiet(monkeypatch, tmp_path):
    """The environment of driver and nodes, which inherit it when they start."""
    for name in ("PYTEST_XDIST_WORKER", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    monkeypatch.setenv("LEM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_lem.plugin")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # What is told of a dead node within seconds is enough for tests.
    monkeypatch.setenv("RAY_health_check_period_ms", "500")
    monkeypatch.setenv("RAY_health_check_timeout_ms", "2000")
    monkeypatch.setenv("RAY_health_check_initial_delay_ms", "1000")
    monkeypatch.setenv("RAY_DISABLE_IMPORT_WARNING", "1")


@pytest.fixture
def left(alive, tmp_path):
    """The sessions and engines on the nodes of this test's own clusters."""

    def left():
        found = {*alive("front.remote.node"), *alive("lem.worker")}
        return found.intersection(alive(str(tmp_path)))

    return left


@pytest.fixture
def cluster(quiet, monkeypatch):
    """Start a cluster of so many nodes, each with one CPU to give."""
    tools = pytest.importorskip("ray.cluster_utils")
    made = []

    def cluster(nodes, **head):
        head = {"num_cpus": 1, "object_store_memory": 80 * MB, **head}
        head["include_dashboard"] = False
        found = tools.Cluster(initialize_head=True, head_node_args=head)
        made.append(found)
        for _ in range(nodes - 1):
            found.add_node(num_cpus=1, object_store_memory=80 * MB)
        monkeypatch.setenv("RAY_ADDRESS", found.address)
        return found

    yield cluster
    for one in made:
        one.shutdown()


@pytest.fixture
def drive(request):
    """Run the project from a driver, a process of its own."""

    files = request.getfixturevalue("project")

    def drive(*arguments, source=None):
        if source is not None:
            files.makepyfile(test_it=source)
        return files.runpytest_subprocess("--lem-launch=ray", *arguments)

    return drive


@pytest.fixture
def driver(project):  # noqa: F811
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
def cycles(project):  # noqa: F811
    """The lines of the driver's journal, whole ones."""

    def cycles():
        found = []
        for plan in (project.path / ".lem" / "sessions").glob("*/plan.json"):
            journal = plan.with_name("cycles.jsonl")
            text = journal.read_text() if journal.exists() else ""
            found += map(json.loads, text.splitlines())
        return found

    return cycles
