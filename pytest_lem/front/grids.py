"""Grids for tests in Python: the points of one, for `parametrize`."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pytest_lem.spec.files.grid import Axis, Choice, axes, label, product
from pytest_lem.spec.files.names import universal
from pytest_lem.spec.parameters import SECTIONS
from pytest_lem.spec.provenance import Layer, merge


def lem_grid(**vary: Any) -> "list[Any]":
    """Every combination of lists of values, each as a `pytest.param` with its marker.

    `@pytest.mark.parametrize("point", lem_grid(batch_size=[1, 8], vllm={
    "max_num_seqs": [16, 64]}))`. Keys are a marker's; what stands in a backend's
    section multiplies the points of that backend alone, and `backend=[...]` says which
    there are. The argument is the dictionary of what varies. Raises ConfigError for
    what is no list, and for unknown keys.
    """
    found = axes(vary, ())
    return [
        pytest.param(
            values,
            marks=pytest.mark.lem(backends=backends, **values),
            id=label(choice),
        )
        for backends, choice in _choices(found)
        for values in [_values(choice)]
    ]


def _choices(found: Sequence[Axis]) -> Iterator[tuple[list[str], Choice]]:
    """Each point with the backends that it is for."""
    named = next((one for one in found if one.path == "backend"), None)
    if named is not None:
        rest = [one for one in found if one is not named]
        for name in named.values:
            for choice in product(rest, name, ()):
                yield [name], choice
        return
    own = [name for name in SECTIONS if any(one.section == name for one in found)]
    others = [name for name in SECTIONS if name not in own]
    yield from ((others, choice) for choice in product(found, None, ()))
    for name in own:
        yield from (([name], choice) for choice in product(found, name, ()))


def _values(choice: Choice) -> dict[str, Any]:
    layers = (
        Layer(origin="marker", values=universal(axis.fragment(place), ()))
        for axis, place in choice
    )
    return merge(layers)[0]
