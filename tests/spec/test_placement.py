"""Where an experiment is to be measured: what can be said, and what that changes."""

from fnmatch import fnmatch

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.spec.experiment import identity, plan_experiment
from pytest_lem.spec.explained import settings
from pytest_lem.spec.provenance import Layer

H100 = {"gpu_type": "H100", "labels": {"rack": 2}, "node": "n1"}


def planned(**values):
    """An experiment of a marker."""
    return plan_experiment(
        "t", [Layer(origin="marker", values={"backend": "fake", **values})]
    )


def test_a_placement_is_told_with_its_origin_and_is_no_part_of_the_identity():
    """Labels are text, whatever YAML makes of them."""
    plain, placed = planned(), planned(placement=H100)
    assert str(placed.placement) == "gpu_type=H100, labels.rack=2, node=n1"
    assert not plain.placement
    known = {one.key: (one.value, one.origin) for one in settings(placed)}
    assert known["placement.labels.rack"] == ("2", "marker")
    first, second = (
        identity(one.spec, one.workload, {}, None) for one in (plain, placed)
    )
    assert first == second


def test_null_takes_back_what_was_said_before():
    """As on the command line, to measure on this machine."""
    layers = [
        Layer(origin="marker", values={"backend": "fake", "placement": H100}),
        Layer(origin="cli", values={"placement": None}),
    ]
    assert not plan_experiment("t", layers).placement


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"gpu": "H100"}, "key 'placement.gpu' is unknown; did you mean*gpu_type*"),
        ("H100", "placement*H100*"),
        ({"labels": "rack"}, "placement.labels='rack': *"),
        ({"labels": {"rack": ["a"]}}, "placement.labels*"),
    ],
)
def test_what_is_no_placement_is_refused_in_one_line(said, line):
    """With the nearest that is."""
    with pytest.raises(ConfigError) as caught:
        planned(placement=said)
    (told,) = caught.value.message.splitlines()
    assert fnmatch(told, line), told
