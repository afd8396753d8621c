"""Who else is on the nodes of a cluster, and which of them may measure."""

import pytest

from pytest_lem.cluster.connect import connected
from tests.cluster.conftest import MB, wait_for

pytestmark = pytest.mark.slow
pytest.importorskip("ray")

SLOW = """
import time
import pytest

@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_it(lem, batch_size):
    lem()
    time.sleep(3)
"""


def grab(ray, **wanted):
    """A task of another job, which does nothing, as soon as it gets that."""

    def nothing():
        return "got in"

    return ray.remote(max_retries=0, **wanted)(nothing).remote()


class Tenant:
    """An actor of another job, which holds what it was given."""

    def here(self):
        """The node that it is on."""
        import ray

        return ray.get_runtime_context().get_node_id()


@pytest.mark.parametrize("wanted", [{"num_cpus": 1}, {"num_cpus": 0, "num_gpus": 1}])
def test_no_other_job_gets_into_a_node_that_is_taken_whole(
    cluster, driver, cycles, project, wanted
):
    """Before the session has ended; one that takes its part alone lets it in."""
    found = cluster(1, num_cpus=2, num_gpus=2)
    project.makepyfile(test_it=SLOW)
    for more, alone in (["--lem-exclusive-node"], True), ([], False):
        before = len(cycles())
        session = driver(*more)
        wait_for(lambda before=before: len(cycles()) > before)
        with connected(found.address) as ray:
            other = grab(ray, **wanted)
            got_in, _ = ray.wait([other], timeout=20 if not alone else 4)
            assert session.poll() is None
            assert bool(got_in) is not alone
            assert session.wait(120) == pytest.ExitCode.OK
            assert ray.get(other, timeout=60) == "got in"


def test_a_node_that_others_hold_a_part_of_is_not_taken_whole(cluster, drive, report):
    """It is named, and another measures."""
    found = cluster(2)
    with connected(found.address) as ray:
        tenant = ray.remote(num_cpus=0.5)(Tenant).remote()
        held = ray.get(tenant.here.remote(), timeout=60)
        more = ("--lem-exclusive-node", "--lem-start-timeout=30")
        result = drive(*more, "--lem-json=r.json", source=SLOW)
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [f"left out * ({held[:8]}): Ray gave nothing there within 30 s: others hold *"]
    )
    assert held not in {it for one in report().experiments for it in ran_on(one)}


def ran_on(experiment):
    """The nodes of its cycles."""
    return {cycle.machine["node"]["id"] for cycle in experiment.cycles}


def test_only_nodes_with_gpus_of_the_type_measure(cluster, drive, report):
    """Others are named with what they have."""
    found = cluster(1)
    for name in ("H100", "A100"):
        found.add_node(
            num_cpus=1,
            num_gpus=1,
            resources={f"accelerator_type:{name}": 1},
            object_store_memory=80 * MB,
        )
    result = drive("--lem-gpu-type=H100", "--lem-json=r.json", source=SLOW)
    result.assert_outcomes(passed=3)
    told = [line for line in result.outlines if line.startswith("left out")]
    assert sorted(line.partition(": ")[2] for line in told) == [
        "its GPUs are A100",
        "its GPUs are none",
    ]
    with connected(found.address) as ray:
        (fits,) = [
            one["NodeID"]
            for one in ray.nodes()
            if "accelerator_type:H100" in one["Resources"]
        ]
    assert {where for one in report().experiments for where in ran_on(one)} == {fits}
