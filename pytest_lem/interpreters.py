"""Which engines there are to be had: in this Python, or in those of `--lem-python`."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

from pytest_lem.errors import ConfigError, EngineNotAvailable
from pytest_lem.items import LemConfigWarning, backends_of, registry_of
from pytest_lem.settings import SETTINGS

if TYPE_CHECKING:
    from pytest_lem.engines.registry import EngineEntry
    from pytest_lem.spec.notes import Note
    from pytest_lem.worker.launch.interpreter import Interpreter

ASKED = pytest.StashKey["dict[str, Interpreter]"]()


def check_backends(config: pytest.Config) -> None:
    """Refuse a backend typed on the command line that is unknown or not installed."""
    settings = config.stash[SETTINGS]
    pythons = pythons_of(config)
    if settings.origins["backend"] == "default" and not pythons:
        return
    names = backends_of(config)
    if settings.origins["backend"] == "cli":
        problems = list(missing(config, names))
        if problems:
            raise pytest.UsageError(*problems)


def pythons_of(config: pytest.Config) -> Mapping[str, str]:
    """Backends whose engine is another Python's, and how it is called.

    The command line wins over the configuration file, backend by backend. Raises
    UsageError for unknown backends.
    """
    settings = config.stash[SETTINGS]
    found: dict[str, str] = {}
    for origin in ("ini", "cli"):
        for name, python in settings.said[origin].get("python", ()):
            try:
                found[registry_of(config).find(name).name] = python
            except ConfigError as error:
                said = "--lem-python" if origin == "cli" else "lem_python"
                raise pytest.UsageError(f"{said}: {error}") from error
    return found


def interpreter(config: pytest.Config, backend: str) -> "Interpreter | None":
    """The other Python of a backend, asked once; None where it is this one.

    Raises ConfigError, EngineNotAvailable where it cannot be used.
    """
    python = pythons_of(config).get(backend)
    if python is None:
        return None
    asked = config.stash.setdefault(ASKED, {})
    if backend not in asked:
        from pytest_lem.spec.compat import beside
        from pytest_lem.worker.launch.interpreter import ask, find

        entry = registry_of(config).find(backend)
        modules = [*entry.requires, entry.target.partition(":")[0]]
        names = [*dict.fromkeys([backend, *beside(backend)])]
        asked[backend] = ask(find(python), modules=modules, packages=names)
    return asked[backend]


def missing(config: pytest.Config, names: Iterable[str]) -> Iterator[str]:
    """A line for each of these engines that cannot be imported where it is to run."""
    from pytest_lem.engines.registry import available, lacking

    for name in names:
        entry = registry_of(config).find(name)
        try:
            other = interpreter(config, name)
        except (ConfigError, EngineNotAvailable) as error:
            yield f"{_said(config, entry)}: {error}"
            continue
        if other is None:
            problem = available(entry)
        else:
            problem = lacking(entry, other.missing, python=other.path)
        if problem is not None:
            yield problem


def version_of(config: pytest.Config, backend: str) -> str | None:
    """The version of the engine's library where it runs; None where not known."""
    from importlib.metadata import PackageNotFoundError, version

    other = interpreter(config, backend)
    if other is not None:
        return other.packages[backend]
    try:
        return version(backend)
    except PackageNotFoundError:
        return None


def warn_untested(config: pytest.Config, backends: Iterable[str]) -> Iterator[str]:
    """Warn of packages whose version is out of range; a line where that is an error."""
    if config.stash[SETTINGS]["ignore-backend-warnings"]:
        return
    for note in _untested(config, {*backends}):
        try:
            warnings.warn(LemConfigWarning(note), stacklevel=1)
        except LemConfigWarning as warning:
            yield str(warning)


def _untested(config: pytest.Config, backends: set[str]) -> Iterator["Note"]:
    from pytest_lem.spec.compat import untested

    asked = config.stash[SETTINGS]["meter"]
    meters = {"codecarbon", "zeus"} if "auto" in asked else {*asked}
    elsewhere = backends & {*pythons_of(config)}
    yield from untested(backends - elsewhere, meters)
    for name in sorted(elsewhere):
        other = interpreter(config, name)
        if other is not None:
            yield from untested({name}, set(), other.packages.get)


def _said(config: pytest.Config, entry: "EngineEntry") -> str:
    return f"--lem-python {entry.name}={pythons_of(config)[entry.name]}"
