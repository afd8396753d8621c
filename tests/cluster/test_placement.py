"""Experiments that choose among nodes, on a real cluster of two that differ."""

import pytest

from pytest_lem.cluster.connect import connected
from tests.cluster.conftest import MB, wait_for
from tests.cluster.test_faults import kill

pytestmark = pytest.mark.slow
pytest.importorskip("ray")

SOURCE = """
import pytest

@pytest.mark.lem(placement={"labels": {"rack": "a"}})
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_a(lem, batch_size):
    lem()

@pytest.mark.lem(placement={"gpu_type": "H100"})
@pytest.mark.parametrize("batch_size", [1, 2])
def test_b(lem, batch_size):
    lem()

@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_anywhere(lem, batch_size):
    lem()
"""
NOWHERE = """
import pytest

@pytest.mark.lem(placement={"labels": {"rack": "c"}})
def test_nowhere(lem):
    lem()
"""
CAMPAIGN = """
configs:
  - {config_name: on-a, backend: fake, placement: {labels: {rack: a}}}
  - {config_name: on-b, backend: fake, placement: {labels: {rack: b}}}
"""
MOVING = """
import time
import pytest

@pytest.mark.parametrize("batch_size", [1, 2])
def test_it(lem, batch_size):
    lem()
    time.sleep(2)
"""
SOON = """
import pytest_lem.front.remote.unplaced as unplaced

unplaced.NODES_WITHIN_S = 3.0
"""


@pytest.fixture
def racks(cluster):
    """A node in rack a, and one in rack b with what Ray takes for GPUs."""
    found = cluster(1, labels={"rack": "a"})
    found.add_node(
        num_cpus=1,
        num_gpus=1,
        resources={"accelerator_type:H100": 1},
        object_store_memory=80 * MB,
        labels={"rack": "b"},
    )
    labels = {}
    for one in found_nodes(found.address):
        labels[one["NodeID"]] = one["Labels"]["rack"]
    return labels


def found_nodes(address):
    """What Ray says of the nodes."""
    with connected(address) as ray:
        return ray.nodes()


def racks_of(record, labels):
    """In which racks the cycles of each experiment ran, by the end of its name."""
    return {
        one.id.partition("::")[2].partition("[")[0]: {
            labels[cycle.machine["node"]["id"]] for cycle in one.cycles
        }
        for one in record.experiments
    }


def test_experiments_run_on_nodes_that_fit_and_fail_by_name_where_none_does(
    racks, drive, project, report
):
    """Also those of YAML files, in one session."""
    project.makeconftest(SOON)
    project.makefile(".lem.yaml", campaign=CAMPAIGN)
    result = drive("--lem-json=r.json", source=SOURCE + NOWHERE)
    result.assert_outcomes(passed=10, failed=1)
    said = "config: placement (labels.rack=c) fits no node that came within 3 s; *"
    lacks = "it has not the label rack=c"
    result.stdout.fnmatch_lines([f"{said}{lacks}; *{lacks}*"])
    ran = racks_of(report(), racks)
    assert ran["test_a"] == ran["on-a"] == {"a"}
    assert ran["test_b"] == ran["on-b"] == {"b"}
    assert ran["test_anywhere"] <= {"a", "b"}


def test_a_node_that_no_experiment_wants_is_left_alone(racks, drive):
    """And named."""
    result = drive("-k", "test_b", source=SOURCE)
    result.assert_outcomes(passed=2)
    why = "no experiment may run there: gpu_type=H100, and its GPUs are none"
    result.stdout.fnmatch_lines([f"left out *: {why}"])


def test_cycles_that_may_move_outlast_their_node(
    cluster, driver, cycles, project, report
):
    """None runs twice, the record has each place, and the flag says so."""
    nodes = cluster(2)
    project.makepyfile(test_it=MOVING)
    said = ("--lem-affinity=any", "--lem-cycles=4", "--lem-order=grouped")
    session = driver(*said, "--lem-json=r.json")
    wait_for(lambda: len(cycles()) >= 3)
    kill(nodes, nodes.list_all_nodes()[-1])
    assert session.wait(200) == pytest.ExitCode.OK
    found = report()
    assert [len(one.cycles) for one in found.experiments] == [4, 4]
    moved = [one for one in found.experiments if "several_places" in one.flags]
    assert moved
    for one in found.experiments:
        places = {cycle.machine["node"]["place"] for cycle in one.cycles}
        assert places <= {*found.environment["places"]}
        assert (len(places) > 1) == (one in moved)
