"""Places of a cluster: what runs where, and by which machine that is judged."""

from types import SimpleNamespace

import pytest

from pytest_lem.cluster.nodes import Node, Wishes
from pytest_lem.cluster.places import ELSEWHERE, Map, wishes_for
from pytest_lem.gate.limit import check_allowed
from pytest_lem.gate.side import differences, sides
from pytest_lem.spec.placement import Placement

RACK = Placement(labels={"rack": 2})


def test_an_experiment_is_judged_by_the_machine_that_measured_it():
    """One of a session on one machine by that; others are left out of it."""
    places = {"GPU-1": {"cpu": {"model": "one"}}, "GPU-2": {"cpu": {"model": "two"}}}
    ran = [SimpleNamespace(machine={"node": {"place": place}}) for place in places]
    local = SimpleNamespace(machine={})
    experiments = [SimpleNamespace(cycles=[one]) for one in (*ran, local)]
    environment = {"cpu": {"model": "one"}, "places": places}
    record = SimpleNamespace(
        session=None, environment=environment, experiments=experiments
    )
    found = [one.environment for one in sides(record)]
    assert found == [*places.values(), environment]


def seat(place, rack="1", watts=700.0):
    """One that has joined, on a GPU of some power limit."""
    gpu = {"name": "H100", "driver_version": "1", "power_limit_w": watts}
    return SimpleNamespace(
        place=place,
        node=Node(
            id=f"id-{place}",
            host=f"host-{place}",
            cpus=1,
            gpus=1,
            labels={"rack": rack},
            types=("H100",),
        ),
        facts={"environment": {"gpu": [gpu], "cpu": {"model": "one"}}},
    )


def charted(affinity):
    """Two places of one kind in two racks, and one of less power."""
    found = Map({str(RACK): wishes_for(RACK)}, affinity)
    for one in (seat("a"), seat("b", rack="2"), seat("c", watts=500.0)):
        found.add(one)
    return found


def test_a_home_is_a_place_or_all_of_its_kind():
    """A GPU of another power limit is of another kind."""
    assert [charted("place").home(one) for one in "abc"] == [*"abc"]
    first, second, third = (charted("any").home(one) for one in "abc")
    assert first == second != third


def test_a_placement_is_a_matter_of_the_node():
    """By type, labels and name; nothing said fits all."""
    places = charted("place")
    assert [places.fits(one, str(RACK)) for one in "abc"] == [False, True, False]
    assert all(places.fits(one, "") for one in "abc")
    node = seat("a").node
    for said, why in (
        ({"gpu_type": "A100"}, "its GPUs are H100"),
        ({"node": "host-b"}, "it has not the label node=host-b"),
        ({"gpu_type": "H100", "labels": {"rack": "1"}, "node": "host-a"}, None),
    ):
        assert node.unfit(wishes_for(Placement(**said))) == why


def test_a_node_is_of_use_that_one_experiment_at_least_may_run_on():
    """The reason is that of the first of them, with how many more there are."""
    rack = {str(RACK): wishes_for(RACK)}
    wishes = [Wishes(gpus=1, placements=one) for one in (rack, {**rack, "": Wishes()})]
    assert [seat("a").node.unfit(one) for one in wishes] == [
        "no experiment may run there: labels.rack=2, and it has not the label rack=2",
        None,
    ]
    assert seat("b", rack="2").node.unfit(wishes[0]) is None
    other = Wishes(gpus=0, gpu_type="A100")
    assert "(so for 1 more)" in seat("a").node.unfit(
        Wishes(gpus=1, placements={**rack, "A100": other})
    )


@pytest.mark.parametrize(
    ("affinity", "ran", "wants", "home"),
    [
        ("place", ["a"], "", "a"),
        ("place", ["gone"], "", "gone"),
        ("place", ["a", "b"], "", ELSEWHERE),
        ("place", ["a"], str(RACK), ELSEWHERE),
        ("place", ["gone"], str(RACK), ELSEWHERE),
        ("any", ["gone", "b"], "", "kind of b"),
        ("any", ["gone"], "", ELSEWHERE),
        ("any", ["a", "b"], str(RACK), ELSEWHERE),
        ("place", [], "", ELSEWHERE),
    ],
)
def test_what_ran_earlier_goes_on_only_where_its_cycles_can_be_pooled(
    affinity, ran, wants, home
):
    """And where it may run now."""
    places = charted(affinity)
    if home == "kind of b":
        home = places.home("b")
    assert places.earlier(ran, wants) == home


def test_experiments_of_several_places_are_no_equals_of_those_of_one():
    """The gate says so, and by which word that may be allowed."""
    one, other = (
        SimpleNamespace(
            experiment=SimpleNamespace(
                spec={"backend": "fake", "model": {}, "workload": {}, "engine": {}},
                cold=False,
                flags=flags,
            ),
            environment={"gpu": [], "cpu": {"model": "one"}},
            cycles=[],
        )
        for flags in ([], ["several_places"])
    )
    told = ["several_places False and True"]
    assert differences(one, other, "output_throughput_tps") == told
    check_allowed(["several_places"])
    assert not differences(one, other, "output_throughput_tps", ["several_places"])
