"""A campaign: experiments that files list, and those that a grid makes."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.spec.files.grid import Axis, Choice, axes, label, product, singly
from pytest_lem.spec.files.inherit import Root, Source, inline, sources
from pytest_lem.spec.files.moving import files, moved
from pytest_lem.spec.files.names import universal
from pytest_lem.spec.nearest import unknown
from pytest_lem.spec.provenance import Layer, merge

GRIDS = {"vary": product, "vary_alone": singly}
CAMPAIGN_KEYS = (
    "campaign_name",
    "cycles",
    "order",
    "stop",
    "configs",
    "base_config",
    *GRIDS,
)
_TELLING = {*CAMPAIGN_KEYS} - {"cycles"}
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Backends:
    """The backends there are, those asked for, and how a name is looked up.

    `find` gives the name of a backend for it or its alias; it raises ConfigError.
    `budgets` are the keys of those there can be.
    """

    names: Sequence[str]
    asked: Sequence[str]
    find: Callable[[str], str]
    budgets: Sequence[str] = ()

    @property
    def further(self) -> tuple[str, ...]:
        """The keys that they bring beside a marker's."""
        return *self.names, *self.budgets


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What a file asks for; `points` are made as they are taken, and but once.

    `stop` are the rules, as typed, by which its experiments end early.
    """

    order: str | None
    points: Iterator[Point]
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Here:
    """Where a file is read: its folder, the root of others, and the backends."""

    folder: Path
    root: Root
    backends: Backends


@dataclass(frozen=True, slots=True, kw_only=True)
class _Config:
    """One experiment, as files describe it; an empty name where they give none."""

    name: str
    backend: str | None
    named_in: str | None
    layers: tuple[Layer, ...]


def read_campaign(path: Path, root: Root, backends: Backends) -> Campaign:
    """The experiments of a file: of a campaign, or the one that it is.

    Raises ConfigError with a line for each thing that is wrong, naming file and key;
    so may taking the points.
    """
    given = sources(path, root)
    here = _Here(folder=path.parent, root=root, backends=backends)
    if not any(_TELLING & {*one.values} for one in given):
        config = _config(given, (), here, otherwise=path.name.partition(".")[0])
        return Campaign(order=None, points=_listed([config], backends))
    layers = [Layer(origin=one.name, values=one.values) for one in given]
    values, origins = merge(layers)
    problems = [
        f"{_whence(key, origins)}: {unknown('key', key, CAMPAIGN_KEYS)}"
        for key in values
        if key not in CAMPAIGN_KEYS
    ]
    cycles = tuple(
        _layer(one, {"cycles": one.values["cycles"]})
        for one in given
        if "cycles" in one.values
    )
    configs = list(_configs(given, cycles, here, problems))
    base = _base(given, cycles, here, problems)
    grids = {
        key: _grid_axes(key, values[key], origins, given, here, problems)
        for key in GRIDS
        if key in values
    }
    if not (configs or grids or "base_config" in values or problems):
        problems.append(f"{root.shown(path)}: has neither configs nor base_config")
    _check_names(configs, root.shown(path), problems)
    if problems or base is None:
        raise ConfigError("\n".join(problems))
    made = [_grid(base, key, *one, backends) for key, one in grids.items()]
    if "base_config" in values and not grids:
        made.append(_listed([base], backends))
    if configs:
        made.insert(0, _listed(configs, backends))
    points = _one_after_another(made)
    order = values.get("order")
    return Campaign(
        order=None if order is None else str(order),
        points=points,
        stop=_texts(values.get("stop", [])),
    )


def _texts(given: Any) -> tuple[str, ...]:
    """One or a list; what is none of text is for who reads the texts to refuse."""
    return tuple(map(str, given)) if isinstance(given, list) else _texts([given])


def _configs(
    given: Sequence[Source],
    cycles: tuple[Layer, ...],
    here: _Here,
    problems: list[str],
) -> Iterator[_Config]:
    """The experiments that are listed: in the last of the files that lists some."""
    listing = [one for one in given if "configs" in one.values]
    if not listing:
        return
    by, listed = listing[-1], listing[-1].values["configs"]
    if not isinstance(listed, list):
        problems.append(f"{by.name}: configs={listed!r} is no list of files")
        return
    for k, entry in enumerate(listed):
        try:
            found, stem = _entry(entry, by, here.root, f"configs[{k}]"), f"config{k}"
            if isinstance(entry, str):
                stem = found[-1].path.name.partition(".")[0]
            yield _config(found, cycles, here, otherwise=stem)
        except ConfigError as error:
            problems += error.message.splitlines()


def _base(
    given: Sequence[Source],
    cycles: tuple[Layer, ...],
    here: _Here,
    problems: list[str],
) -> _Config | None:
    """What all points of the grids have; None where it cannot be."""
    found: list[Source] = []
    try:
        for by in given:
            if "base_config" in by.values:
                entry = by.values["base_config"]
                before = found if isinstance(entry, Mapping) else []
                found = [*before, *_entry(entry, by, here.root, "base_config")]
        return _config(found, cycles, here, otherwise="")
    except ConfigError as error:
        problems += error.message.splitlines()
        return None


def _entry(entry: Any, by: Source, root: Root, key: str) -> list[Source]:
    """What makes up an experiment that a campaign names, or has in itself."""
    if isinstance(entry, Mapping):
        return inline(entry, by.path, root)
    return sources(root.named(entry, by=by.path, key=key), root)


def _config(
    given: Iterable[Source],
    below: tuple[Layer, ...],
    here: _Here,
    *,
    otherwise: str,
) -> _Config:
    name, backend, named_in = otherwise, None, None
    layers: list[Layer] = [*below]
    problems: list[str] = []
    for one in given:
        try:
            values = _told(one.values, one, here)
            if "backend" in values:
                backend = _backend(values.pop("backend"), here.backends)
                named_in = one.name
            name = _name(values.pop("config_name", name))
        except ConfigError as error:
            problems += (f"{one.name}: {line}" for line in error.message.splitlines())
            continue
        layers.append(_layer(one, values))
    if problems:
        raise ConfigError("\n".join(problems))
    return _Config(name=name, backend=backend, named_in=named_in, layers=tuple(layers))


def _told(given: Mapping[str, Any], by: Source, here: _Here) -> dict[str, Any]:
    """What a file says under a marker's keys; its files as seen from here."""
    values = universal(given, here.backends.further)
    for key, text in files(values):
        here.root.check(text, by=by.path, key=key)
    return moved(values, beside=by.path.parent, to=here.folder)


def _layer(by: Source, values: Mapping[str, Any]) -> Layer:
    return Layer(origin=f"file {by.name}", values=values, older={})


def _backend(name: Any, backends: Backends) -> str:
    if not isinstance(name, str):
        raise ConfigError(f"backend={name!r} is no name; vary has a list of them")
    return backends.find(name)


def _name(given: Any) -> str:
    text = given if isinstance(given, str) and len(given) <= _LONGEST_NAME else "\0"
    if text.isprintable() and "::" not in text:
        return text
    raise ConfigError(
        f"config_name={given!r} is no name: up to {_LONGEST_NAME} characters that "
        "print, without ::"
    )


def _check_names(configs: Sequence[_Config], path: str, problems: list[str]) -> None:
    """Node ids must differ."""
    names = [one.name for one in configs]
    problems += (
        f"{path}: {names.count(name)} configs are called {name!r}: give each a "
        "config_name of its own"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    )


def _grid_axes(
    key: str,
    given: Any,
    origins: Mapping[str, str],
    read: Sequence[Source],
    here: _Here,
    problems: list[str],
) -> tuple[list[Axis], dict[tuple[str, int], Layer]]:
    """What is varied, and what a file would say of each value."""
    found: list[Axis] = []
    said: dict[tuple[str, int], Layer] = {}
    where = _whence(key, origins)
    try:
        if not isinstance(given, Mapping):
            raise ConfigError(f"{key}={given!r} is no mapping of keys to lists")
        found = axes(given, here.backends.names)
        for axis in found:
            name = origins[f"{key}.{axis.path}"]
            by = next(one for one in read if one.name == name)
            for place in range(len(axis.values)):
                values = _told(axis.fragment(place), by, here)
                if "config_name" in values:
                    raise ConfigError("config_name names points, and does not vary")
                if "backend" in values:
                    _backend(values.pop("backend"), here.backends)
                said[axis.path, place] = _layer(by, values)
    except ConfigError as error:
        problems += (
            f"{where}: in {key}: {line}" for line in error.message.splitlines()
        )
    return found, said


def _whence(key: str, origins: Mapping[str, str]) -> str:
    """The file that has a key, or the last one of those that have something in it."""
    inside = [one for path, one in origins.items() if path.startswith(f"{key}.")]
    return origins.get(key) or (inside[-1] if inside else "")


def _listed(configs: Iterable[_Config], backends: Backends) -> Iterator[Point]:
    for one in configs:
        for backend in [one.backend] if one.backend else backends.asked:
            yield Point(
                name=one.name if one.backend else f"{one.name}[{backend}]",
                backend=backend,
                named_in=one.named_in,
                layers=one.layers,
            )


def _grid(
    base: _Config,
    key: str,
    found: Sequence[Axis],
    said: Mapping[tuple[str, int], Layer],
    backends: Backends,
) -> Iterator[Point]:
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
    base: _Config,
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


def _one_after_another(parts: Sequence[Iterator[Point]]) -> Iterator[Point]:
    """All of them, each once: what two parts have in common is one experiment."""
    seen: set[str] = set()
    names: set[str] = set()
    for part in parts:
        for point in part:
            if len(parts) > 1:
                known = json.dumps(
                    [point.backend, merge(point.layers)[0]], sort_keys=True, default=str
                )
                if known in seen:
                    continue
                seen.add(known)
            if point.name in names:
                raise ConfigError(f"two experiments are called {point.name!r}")
            names.add(point.name)
            yield point
