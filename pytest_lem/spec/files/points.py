"""The experiments of a file one by one, those of its grids as they are taken."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.spec.files.described import (
    Backends,
    Described,
    Here,
    backend_name,
    layer,
    told,
)
from pytest_lem.spec.files.grid import Axis, Choice, axes, label, product, singly
from pytest_lem.spec.files.inherit import Source
from pytest_lem.spec.provenance import Layer

GRIDS = {"vary": product, "vary_alone": singly}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """An experiment of a file: its name there, and what each file says of it.

    `named_in` is the file that names the backend, None where none does; a point of a
    grid may be one that cannot be.
    """

    name: str
    backend: str
    named_in: str | None
    layers: tuple[Layer, ...]
    of_grid: bool = False


def listed_points(configs: Iterable[Described], backends: Backends) -> Iterator[Point]:
    """A point for each experiment, of each backend asked for where it names none."""
    for one in configs:
        for backend in [one.backend] if one.backend else backends.asked:
            yield Point(
                name=one.name if one.backend else f"{one.name}[{backend}]",
                backend=backend,
                named_in=one.named_in,
                layers=one.layers,
            )


def grid_axes(
    key: str,
    given: Any,
    origins: Mapping[str, str],
    read: Sequence[Source],
    here: Here,
    problems: list[str],
) -> tuple[list[Axis], dict[tuple[str, int], Layer]]:
    """What is varied, and what a file would say of each value."""
    found: list[Axis] = []
    said: dict[tuple[str, int], Layer] = {}
    where = whence(key, origins)
    try:
        if not isinstance(given, Mapping):
            raise ConfigError(f"{key}={given!r} is no mapping of keys to lists")
        found = axes(given, here.backends.names)
        for axis in found:
            name = origins[f"{key}.{axis.path}"]
            by = next(one for one in read if one.name == name)
            for place in range(len(axis.values)):
                values = told(axis.fragment(place), by, here)
                if "config_name" in values:
                    raise ConfigError("config_name names points, and does not vary")
                if "backend" in values:
                    backend_name(values.pop("backend"), here.backends)
                said[axis.path, place] = layer(by, values)
    except ConfigError as error:
        problems += (
            f"{where}: in {key}: {line}" for line in error.message.splitlines()
        )
    return found, said


def grid_points(
    base: Described,
    key: str,
    found: Sequence[Axis],
    said: Mapping[tuple[str, int], Layer],
    backends: Backends,
) -> Iterator[Point]:
    """The points of a grid, by the word for it, its axes and what each value says."""
    for backend, named_in, start in _starts(base, found, said, backends):
        for choice in GRIDS[key](found, backend, start):
            name = "-".join(filter(None, (base.name, label(choice)))) or "base"
            yield Point(
                name=name if named_in else f"{name}[{backend}]",
                backend=backend,
                named_in=named_in,
                layers=(*base.layers, *(said[axis.path, k] for axis, k in choice)),
                of_grid=True,
            )


def _starts(
    base: Described,
    found: Sequence[Axis],
    said: Mapping[tuple[str, int], Layer],
    backends: Backends,
) -> Iterator[tuple[str, str | None, Choice]]:
    """Each backend, with the file that names it and its place in what is varied."""
    axis = next((one for one in found if one.path == "backend"), None)
    if axis is not None:
        for place, name in enumerate(axis.values):
            named_in = said["backend", place].origin.removeprefix("file ")
            yield backends.find(name), named_in, ((axis, place),)
    elif base.backend is not None:
        yield base.backend, base.named_in, ()
    else:
        yield from ((name, None, ()) for name in backends.asked)


def whence(key: str, origins: Mapping[str, str]) -> str:
    """The file that has a key, or the last one of those that have something in it."""
    inside = [one for path, one in origins.items() if path.startswith(f"{key}.")]
    return origins.get(key) or (inside[-1] if inside else "")
