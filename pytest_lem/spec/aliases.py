"""Older names of parameters: still taken, told once, and never part of an identity."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pytest_lem.spec.catalogue import BACKENDS, aliases, removed
from pytest_lem.spec.notes import Note
from pytest_lem.spec.parameters import SECTION_ALIASES

_ABSENT = object()


def resolve(
    values: Mapping[str, Any], used: dict[str, str], problems: list[str]
) -> dict[str, Any]:
    """The values of one layer under today's names.

    `used` gets each older name with today's, `problems` a line for each value that was
    given under both names and differs, and for each name that is gone.
    """
    tree: dict[str, Any] = _copy(values)
    for alias, section in SECTION_ALIASES.items():
        if isinstance(tree.get(alias), dict):
            for key, value in tree.pop(alias).items():
                _move(tree, f"{alias}.{key}", f"{section}.{key}", value, problems)
    for older, path in _within(tree, _older_by_key()):
        if (value := _take(tree, older)) is not _ABSENT:
            used[older] = path
            _move(tree, older, path, value, problems)
    for path, instead in _within(tree, _removed_by_key()):
        if _take(tree, path) is not _ABSENT:
            problems.append(f"key {path!r} is gone: {instead}")
    return tree


def notes(used: Mapping[str, str], backend: str) -> Iterator[Note]:
    """What is said of the older names: today's, and whether they matter here."""
    for older, path in used.items():
        home, said_in = path.partition(".")[0], older.partition(".")[0]
        idle = home in BACKENDS and home not in (backend, said_in)
        yield Note(
            path=path,
            message=f"{older!r} is the older name of {path!r}"
            + (f", which {backend} does not have" if idle else ""),
            suggestion="" if idle else "say that instead",
            severity="info",
        )


Names = dict[str, list[tuple[str, str]]]


def _within(tree: Mapping[str, Any], names: Names) -> list[tuple[str, str]]:
    """Those of the names whose first key is there."""
    return [pair for key in tree for pair in names.get(key, ())]


@cache
def _older_by_key() -> Names:
    return _by_key(aliases())


@cache
def _removed_by_key() -> Names:
    return _by_key(removed())


def _by_key(names: Mapping[str, str]) -> Names:
    found: Names = {}
    for path, other in names.items():
        found.setdefault(path.partition(".")[0], []).append((path, other))
    return found


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(one) for key, one in value.items()}
    return value


def _take(tree: dict[str, Any], path: str) -> Any:
    """Take a value out, and the mappings that it leaves empty; or `_ABSENT`."""
    key, dot, rest = path.partition(".")
    if key not in tree:
        return _ABSENT
    if not dot:
        return tree.pop(key)
    if not isinstance(tree[key], dict):
        return _ABSENT
    value = _take(tree[key], rest)
    if value is not _ABSENT and not tree[key]:
        del tree[key]
    return value


def _move(
    tree: dict[str, Any], older: str, path: str, value: Any, problems: list[str]
) -> None:
    *parents, name = path.split(".")
    place = tree
    for parent in parents:
        inner = place.setdefault(parent, {})
        if not isinstance(inner, dict):
            problems.append(f"{older} cannot be set beside {path}: {parent}={inner!r}")
            return
        place = inner
    if place.get(name, value) != value:
        problems.append(
            f"{older}={value!r} and {path}={place[name]!r} are one parameter: "
            "give one of them"
        )
    place[name] = value
