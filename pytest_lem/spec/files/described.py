"""One experiment, as the files describe it that make it up."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.spec.files.inherit import Root, Source, inline, sources
from pytest_lem.spec.files.moving import files, moved
from pytest_lem.spec.files.names import universal
from pytest_lem.spec.provenance import Layer

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
class Here:
    """Where a file is read: its folder, the root of others, and the backends."""

    folder: Path
    root: Root
    backends: Backends


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One experiment, as files describe it; an empty name where they give none."""

    name: str
    backend: str | None
    named_in: str | None
    layers: tuple[Layer, ...]


def entry_sources(entry: Any, by: Source, root: Root, key: str) -> list[Source]:
    """What makes up an experiment that a campaign names, or has in itself."""
    if isinstance(entry, Mapping):
        return inline(entry, by.path, root)
    return sources(root.named(entry, by=by.path, key=key), root)


def describe(
    given: Iterable[Source],
    below: tuple[Layer, ...],
    here: Here,
    *,
    otherwise: str,
) -> Described:
    """The experiment that these files make up, on top of the layers `below`.

    It is called `otherwise` where none of them names it. Raises ConfigError with a
    line for each thing that is wrong, which begins with the file.
    """
    name, backend, named_in = otherwise, None, None
    layers: list[Layer] = [*below]
    problems: list[str] = []
    for one in given:
        try:
            values = told(one.values, one, here)
            if "backend" in values:
                backend = backend_name(values.pop("backend"), here.backends)
                named_in = one.name
            name = _name(values.pop("config_name", name))
        except ConfigError as error:
            problems += (f"{one.name}: {line}" for line in error.message.splitlines())
            continue
        layers.append(layer(one, values))
    if problems:
        raise ConfigError("\n".join(problems))
    return Described(
        name=name, backend=backend, named_in=named_in, layers=tuple(layers)
    )


def told(given: Mapping[str, Any], by: Source, here: Here) -> dict[str, Any]:
    """What a file says under a marker's keys; its files as seen from here."""
    values = universal(given, here.backends.further)
    for key, text in files(values):
        here.root.check(text, by=by.path, key=key)
    return moved(values, beside=by.path.parent, to=here.folder)


def layer(by: Source, values: Mapping[str, Any]) -> Layer:
    """What a file says, under its name."""
    return Layer(origin=f"file {by.name}", values=values, older={})


def backend_name(name: Any, backends: Backends) -> str:
    """The backend of that name or alias; raises ConfigError for another."""
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
