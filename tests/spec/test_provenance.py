"""Layers of settings: who wins, and who said it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.spec.provenance import Layer, merge


def layers(*values):
    return [
        Layer(origin=origin, values=one)
        for origin, one in zip(
            ("default", "ini", "marker", "cli"), values, strict=False
        )
    ]


def test_the_later_layer_wins_and_is_named():
    """Each value has the origin of the layer it came from."""
    values, origins = merge(
        layers({"seed": 1, "cycles": 3}, {"seed": 2}, {"model": "m"})
    )
    assert values == {"seed": 2, "cycles": 3, "model": "m"}
    assert origins == {"seed": "ini", "cycles": "default", "model": "marker"}


def test_sections_are_merged_key_by_key():
    """A key of a section wins alone; the others stay as they were."""
    values, origins = merge(
        layers({"fake": {"token_s": 1, "prefill_s": 2}}, {}, {"fake": {"token_s": 3}})
    )
    assert values == {"fake": {"token_s": 3, "prefill_s": 2}}
    assert origins == {"fake.token_s": "marker", "fake.prefill_s": "default"}


def test_sections_within_sections_are_merged_as_well():
    """At any depth each value has its own origin; a list replaces the one before."""
    values, origins = merge(
        layers({"fake": {"deep": {"a": 1, "b": [2]}}}, {"fake": {"deep": {"b": [3]}}})
    )
    assert values == {"fake": {"deep": {"a": 1, "b": [3]}}}
    assert origins == {"fake.deep.a": "default", "fake.deep.b": "ini"}


def test_a_value_over_a_section_takes_its_place():
    """No origin is left of what was there before."""
    values, origins = merge(layers({"fake": {"a": 1}}, {"fake": 5}))
    assert (values, origins) == ({"fake": 5}, {"fake": "ini"})


@pytest.mark.parametrize("odd", [None, 5, "text"])
def test_a_section_over_something_else_takes_its_place(odd):
    """A wrong value in one layer is no crash in the next."""
    values, origins = merge(layers({"fake": odd}, {"fake": {"token_s": 1}}))
    assert values == {"fake": {"token_s": 1}}
    assert origins["fake.token_s"] == "ini"


def test_the_layers_are_left_as_they_are():
    """Merging twice gives the same as merging once."""
    given = layers({"fake": {"token_s": 1}}, {"fake": {"prefill_s": 2}})
    assert merge(given) == merge(given)
    assert given[0].values == {"fake": {"token_s": 1}}


def test_nothing_is_nothing():
    """No layer says no value."""
    assert merge([]) == ({}, {})


names = st.sampled_from(["model", "seed", "cycles", "batch_size"])
scalars = st.dictionaries(names, st.integers())


@given(st.lists(scalars, max_size=4))
def test_every_value_has_exactly_one_origin(said):
    """Whatever the layers are, values and origins have the same keys."""
    values, origins = merge(layers(*said))
    assert values.keys() == origins.keys()
    for key, value in values.items():
        last = [k for k, one in enumerate(said) if key in one][-1]
        assert value == said[last][key]
        assert origins[key] == ("default", "ini", "marker", "cli")[last]
