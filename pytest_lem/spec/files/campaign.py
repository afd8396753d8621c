"""A campaign: experiments that files list, and those that a grid makes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.spec.files.described import (
    Backends,
    Described,
    Here,
    describe,
    entry_sources,
    layer,
)
from pytest_lem.spec.files.inherit import Root, Source, sources
from pytest_lem.spec.files.points import (
    GRIDS,
    Point,
    grid_axes,
    grid_points,
    listed_points,
    whence,
)
from pytest_lem.spec.nearest import unknown
from pytest_lem.spec.provenance import Layer, merge

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What a file asks for; `points` are made as they are taken, and but once.

    `stop` are the rules, as typed, by which its experiments end early.
    """

    order: str | None
    points: Iterator[Point]
    stop: tuple[str, ...] = ()


def read_campaign(path: Path, root: Root, backends: Backends) -> Campaign:
    """The experiments of a file: of a campaign, or the one that it is.

    Raises ConfigError with a line for each thing that is wrong, naming file and key;
    so may taking the points.
    """
    given = sources(path, root)
    here = Here(folder=path.parent, root=root, backends=backends)
    if not any(_TELLING & {*one.values} for one in given):
        config = describe(given, (), here, otherwise=path.name.partition(".")[0])
        return Campaign(order=None, points=listed_points([config], backends))
    layers = [Layer(origin=one.name, values=one.values) for one in given]
    values, origins = merge(layers)
    problems = [
        f"{whence(key, origins)}: {unknown('key', key, CAMPAIGN_KEYS)}"
        for key in values
        if key not in CAMPAIGN_KEYS
    ]
    cycles = tuple(
        layer(one, {"cycles": one.values["cycles"]})
        for one in given
        if "cycles" in one.values
    )
    configs = list(_configs(given, cycles, here, problems))
    base = _base(given, cycles, here, problems)
    grids = {
        key: grid_axes(key, values[key], origins, given, here, problems)
        for key in GRIDS
        if key in values
    }
    if not (configs or grids or "base_config" in values or problems):
        problems.append(f"{root.shown(path)}: has neither configs nor base_config")
    _check_names(configs, root.shown(path), problems)
    if problems or base is None:
        raise ConfigError("\n".join(problems))
    made = [grid_points(base, key, *one, backends) for key, one in grids.items()]
    if "base_config" in values and not grids:
        made.append(listed_points([base], backends))
    if configs:
        made.insert(0, listed_points(configs, backends))
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
    here: Here,
    problems: list[str],
) -> Iterator[Described]:
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
            found, stem = (
                entry_sources(entry, by, here.root, f"configs[{k}]"),
                f"config{k}",
            )
            if isinstance(entry, str):
                stem = found[-1].path.name.partition(".")[0]
            yield describe(found, cycles, here, otherwise=stem)
        except ConfigError as error:
            problems += error.message.splitlines()


def _base(
    given: Sequence[Source],
    cycles: tuple[Layer, ...],
    here: Here,
    problems: list[str],
) -> Described | None:
    """What all points of the grids have; None where it cannot be."""
    found: list[Source] = []
    try:
        for by in given:
            if "base_config" in by.values:
                entry = by.values["base_config"]
                before = found if isinstance(entry, Mapping) else []
                found = [*before, *entry_sources(entry, by, here.root, "base_config")]
        return describe(found, cycles, here, otherwise="")
    except ConfigError as error:
        problems += error.message.splitlines()
        return None


def _check_names(configs: Sequence[Described], path: str, problems: list[str]) -> None:
    """Node ids must differ."""
    names = [one.name for one in configs]
    problems += (
        f"{path}: {names.count(name)} configs are called {name!r}: give each a "
        "config_name of its own"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    )


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
