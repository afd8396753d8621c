"""Nodes that cannot take part, or not any more: named, and others do their work."""

import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress

import pytest

import pytest_lem
from pytest_lem.cluster.connect import connected
from tests.cluster.conftest import (
    MB,
    ROOT,
    is_running,
    keeper_of,
    parent_of,
    wait_for,
)

pytestmark = pytest.mark.slow
pytest.importorskip("ray")

NODE = "front.remote.node"
SIX = """
import pytest

@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("output_tokens", [2, 3])
def test_it(lem, batch_size, output_tokens):
    lem()
"""


def test_a_node_of_another_version_is_left_out_by_name(cluster, drive, tmp_path):
    """With both versions; where no node is left, nothing runs."""
    other = tmp_path / "other"
    shutil.copytree(ROOT / "pytest_lem", other / "pytest_lem")
    module = other / "pytest_lem" / "__init__.py"
    module.write_text(module.read_text() + '__version__ = "9.9"\n')
    cluster(1).add_node(
        num_cpus=1,
        object_store_memory=80 * MB,
        labels={"name": "other"},
        env_vars={"PYTHONPATH": str(other)},
    )
    said = f"plugin 9.9, the driver has {pytest_lem.__version__}"
    result = drive(source=SIX)
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines([f"*left out * (*): {said}*"])
    result = drive("--lem-node-label=name=other")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no node can measure", f"*: {said}"])


def test_a_node_with_other_tests_is_left_out_by_name(cluster, drive):
    """With both identities; it has the same files, and they say something else."""
    cluster(1).add_node(num_cpus=1, object_store_memory=80 * MB, env_vars={"SIZE": "2"})
    source = """
        import os
        import pytest

        @pytest.mark.lem(batch_size=int(os.environ.get("SIZE", "1")))
        def test_it(lem):
            lem()
    """
    result = drive(source=source)
    result.assert_outcomes(passed=1)
    one, other = re.findall(
        r"left out \S+ \(\w+\): \S+::test_it\S* is (\w+) there, the driver has (\w+)",
        result.stdout.str(),
    )[0]
    assert one != other


def test_a_test_that_a_node_has_not_collected_fails_by_name(cluster, drive):
    """One that measures nothing, which is not compared before; others go on."""
    cluster(1, env_vars={"SIZE": "2"})
    source = """
        import os
        import pytest

        def test_it(lem):
            lem()

        @pytest.mark.parametrize("size", [os.environ.get("SIZE", "1")])
        def test_plain(size):
            pass
    """
    result = drive(source=source)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["config: *::test_plain[[]1] is not collected on *"])


def test_a_node_that_ray_gives_nothing_of_is_left_out_by_name(cluster, drive):
    """Others hold it. With another node the session runs there, else nothing runs."""
    nodes = cluster(1)
    with connected(nodes.address) as ray:
        holder = ray.remote(num_cpus=1)(Holder).remote()
        ray.get(holder.holds.remote())
        result = drive("--lem-start-timeout=10", source=SIX)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        nothing = "Ray gave nothing there within 10 s: others hold it, or *"
        result.stderr.fnmatch_lines(["*no node can measure", f"*: {nothing}"])
        nodes.add_node(num_cpus=1, object_store_memory=80 * MB)
        result = drive("--lem-start-timeout=10", source=SIX)
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines([f"*left out * (*): {nothing}"])


class Holder:
    """An actor of another job."""

    def holds(self):
        """It is there."""
        return True


def test_a_node_whose_disk_is_full_leaves_its_work_to_others(
    cluster, drive, project, join
):
    """Its first cycle that cannot be written is its last."""
    scratch = project.path / ".lem"
    scratch.mkdir()
    full = f"mount -t tmpfs -o size=64k tmpfs {scratch} && "
    full += f'head -c 1M /dev/zero >{scratch}/filler 2>/dev/null; exec "$@"'
    before = ["unshare", "--mount", "sh", "-c", full, "sh"]
    if subprocess.run([*before, "true"], check=False).returncode:
        pytest.skip("no mount namespaces here")
    join(cluster(1).address, before, "full")
    result = drive("--lem-json=r.json", source=SIX)
    result.assert_outcomes(passed=6)
    told = "*lost * (*): cycle * could not be written to *: No space left on device*"
    result.stdout.fnmatch_lines([told])


@pytest.mark.parametrize("whole", [False, True], ids=["its actor", "all of it"])
def test_a_node_that_falls_silent_is_given_up(
    cluster, driver, cycles, project, alive, monkeypatch, whole
):
    """It is stopped, which tells nobody; what it ran runs again, and it ends."""
    monkeypatch.setenv("RAY_health_check_failure_threshold", "1000")
    second = cluster(1).add_node(num_cpus=1, object_store_memory=80 * MB)
    raylet = second.all_processes["raylet"][0].process.pid
    project.makepyfile(test_it=f"import time\n{SIX}    time.sleep(0.5)\n")
    session = driver("--lem-node-timeout=3", "--lem-cycles=3", "-v")
    wait_for(lambda: len(cycles()) >= 4)
    stopped = [pid for pid in map(keeper_of, alive(NODE)) if parent_of(pid) == raylet]
    assert stopped
    if whole:
        stopped += [raylet, *(p for p in alive(NODE) if keeper_of(p) in stopped)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    assert session.wait(200) == pytest.ExitCode.OK
    told = (project.path / "driver.txt").read_text()
    assert "gave no sign of life for 3 s" in told
    assert "6 passed" in told
    for pid in stopped:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    left = {*stopped} - {raylet}
    wait_for(lambda: not alive(NODE) and not any(map(is_running, left)), 60)
