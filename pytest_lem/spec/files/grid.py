"""Grids: which values are varied, and every point that they make for a backend."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.spec.parameters import SECTION_ALIASES, SECTIONS

_LONGEST = 40
_MOST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A key that is varied, as it is written, with each value and its name in ids.

    `section` is the backend whose parameter it is; None for those of all.
    """

    path: str
    section: str | None
    values: tuple[Any, ...]
    labels: tuple[str, ...]

    def fragment(self, place: int) -> dict[str, Any]:
        """One of its values, nested as in a file."""
        found: Any = self.values[place]
        for name in reversed(self.path.split(".")):
            found = {name: found}
        return dict(found)


Choice = tuple[tuple[Axis, int], ...]
"""A point: of each axis the place of its value."""


def axes(vary: Mapping[str, Any], sections: Sequence[str]) -> list[Axis]:
    """The keys that are varied, in the order in which they are written.

    `sections` are the backends that there are. Raises ConfigError for a key without a
    list of values.
    """
    known = {**SECTION_ALIASES, **{name: name for name in (*SECTIONS, *sections)}}
    return [
        _axis(path, values, known.get(path.partition(".")[0]))
        for path, values in _leaves(vary, "")
    ]


def product(
    found: Sequence[Axis], backend: str | None, start: Choice
) -> Iterator[Choice]:
    """Each combination of what this backend has; the last axis changes fastest.

    The axes of `start` keep their values.
    """
    kept = {axis.path: (place,) for axis, place in start}
    own = [one for one in found if one.section in (None, backend)]
    places = [kept.get(one.path, range(len(one.values))) for one in own]
    for chosen in itertools.product(*places):
        yield tuple(zip(own, chosen, strict=True))


def singly(
    found: Sequence[Axis], backend: str | None, start: Choice
) -> Iterator[Choice]:
    """`start` itself, then with each value of what this backend has by itself."""
    yield start
    kept = {axis.path for axis, _ in start}
    for axis in found:
        if axis.section in (None, backend) and axis.path not in kept:
            for place in range(len(axis.values)):
                yield (*start, (axis, place))


def label(choice: Choice) -> str:
    """`batch_size=4-vllm.max_num_seqs=16`."""
    return "-".join(f"{axis.path}={axis.labels[place]}" for axis, place in choice)


def _leaves(vary: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in vary.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _axis(path: str, values: Any, section: str | None) -> Axis:
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{path}={values!r} is no list of values")
    once: dict[str, Any] = {}
    for value in values:
        once.setdefault(json.dumps(value, sort_keys=True, default=str), value)
    return Axis(
        path=path,
        section=section,
        values=tuple(once.values()),
        labels=_labels(tuple(once.values())),
    )


def _labels(values: tuple[Any, ...]) -> tuple[str, ...]:
    """What stands for each value in an id: itself, or its number."""
    told = tuple(_label(value) for value in values)
    if None in told or len({*told}) < len(told):
        return tuple(str(place) for place in range(len(values)))
    return tuple(one or "" for one in told)


def _label(value: Any) -> str | None:
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, str):
        fits = value.isprintable() and "::" not in value
        return value if fits and len(value) <= _LONGEST else None
    if isinstance(value, Mapping):
        told = {path: _label(one) for path, one in _leaves(value, "")}
        if None not in told.values() and len(told) <= _MOST:
            return ",".join(f"{path}:{one}" for path, one in told.items())
    return None
