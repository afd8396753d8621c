"""Which versions of other packages this one was written for and tried with."""

import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.specifiers import SpecifierSet

from pytest_lem.spec.notes import Note

PATH = Path(__file__).parents[1] / "compat.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A distribution: the versions it may have, and those tried, with how.

    It is an engine, or is used beside one, or by a meter.
    """

    name: str
    range: str
    tried: Mapping[str, str] = field(default_factory=dict)
    engine: str = ""
    beside: str = ""
    meter: str = ""


@cache
def packages() -> tuple[Package, ...]:
    """The table that ships with this package."""
    table = tomllib.loads(PATH.read_text(encoding="utf-8"))
    return tuple(Package(name=name, **entry) for name, entry in table.items())


def package_of(backend: str) -> str:
    """The package that is this backend's engine; of an unknown one its own name."""
    return next((one.name for one in packages() if one.engine == backend), backend)


def beside(backend: str) -> list[str]:
    """The packages that are this backend's engine, or that it uses."""
    return [one.name for one in packages() if backend in (one.engine, one.beside)]


def installed(name: str) -> str | None:
    """The version of a package of this interpreter; None where it has none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def untested(
    backends: Collection[str],
    meters: Collection[str],
    version_of: Callable[[str], str | None] = installed,
) -> Iterator[Note]:
    """A note on each installed package of these whose version is out of its range.

    `version_of` tells the version of a package, None where it is not installed; that
    of this interpreter imports none.
    """
    for one in packages():
        if not ({one.engine, one.beside} & {*backends} or one.meter in meters):
            continue
        found = version_of(one.name)
        if found is None:
            continue
        if not SpecifierSet(one.range).contains(found, prereleases=True):
            yield Note(
                path=one.name,
                message=f"{one.name} {found} is outside of {one.range}, the versions "
                "that this pytest-lem was written for",
                suggestion="docs/compatibility.md has those that were tried",
            )
