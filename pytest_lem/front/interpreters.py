"""Where engines are to be had: here, by `--lem-python`, or by `--lem-image`."""

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal

import pytest

from pytest_lem.errors import ConfigError, EngineNotAvailable
from pytest_lem.front.items import LemConfigWarning, backends_of, registry_of
from pytest_lem.front.settings import SETTINGS

if TYPE_CHECKING:
    from pytest_lem.engines.registry import EngineEntry
    from pytest_lem.spec.notes import Note
    from pytest_lem.worker.launch.image import Image
    from pytest_lem.worker.launch.interpreter import Interpreter
    from pytest_lem.worker.launch.runtime import Runtime

ASKED = pytest.StashKey["dict[str, Interpreter | Image]"]()
RUNTIME = pytest.StashKey["Runtime"]()

Place = tuple[Literal["python", "image"], str]


def check_backends(config: pytest.Config) -> None:
    """Refuse a backend typed on the command line that is unknown or not installed.

    The tests of one that is not installed are skipped where `--lem-missing` says so.
    """
    settings = config.stash[SETTINGS]
    places = places_of(config)
    if settings.origins["backend"] == "default" and not places:
        return
    names = backends_of(config)
    if settings.origins["backend"] == "cli" and settings["missing"] == "fail":
        problems = list(missing(config, names))
        if problems:
            raise pytest.UsageError(*problems)


def places_of(config: pytest.Config) -> Mapping[str, Place]:
    """Backends whose engine is another Python's or in an image, and which that is.

    The command line wins over the configuration file, backend by backend. Raises
    UsageError for unknown backends, and for those that are said to be at two places.
    """
    settings = config.stash[SETTINGS]
    found: dict[str, Place] = {}
    for origin in ("ini", "cli"):
        said: dict[str, Place] = {}
        for kind in ("python", "image"):
            for name, text in settings.said[origin].get(kind, ()):
                option = f"--lem-{kind}" if origin == "cli" else f"lem_{kind}"
                try:
                    entry = registry_of(config).find(name)
                except ConfigError as error:
                    raise pytest.UsageError(f"{option}: {error}") from error
                value = text or entry.image
                other, where = said.get(entry.name, (kind, value))
                if other != kind:
                    msg = f"{option} {name}={value}: it runs in {where} already"
                    raise pytest.UsageError(msg)
                said[entry.name] = kind, value
        found |= said
    return found


def elsewhere(config: pytest.Config, backend: str) -> "Interpreter | Image | None":
    """The other Python or the image of a backend, asked once; None where it is here.

    Raises ConfigError, EngineNotAvailable where it cannot be used.
    """
    place = places_of(config).get(backend)
    if place is None:
        return None
    asked = config.stash.setdefault(ASKED, {})
    if backend not in asked:
        from pytest_lem.spec.compat import beside
        from pytest_lem.worker.launch import image, interpreter

        entry = registry_of(config).find(backend)
        modules = [*entry.requires, entry.target.partition(":")[0]]
        names = [*dict.fromkeys([backend, *beside(backend)])]
        kind, name = place
        if kind == "python":
            path = interpreter.find(name)
            asked[backend] = interpreter.ask(path, modules=modules, packages=names)
        else:
            asked[backend] = image.ask(
                name,
                _runtime(config),
                modules=modules,
                packages=names,
                arguments=config.stash[SETTINGS]["container-args"],
            )
    return asked[backend]


def _runtime(config: pytest.Config) -> "Runtime":
    if RUNTIME not in config.stash:
        from pytest_lem.worker.launch.runtime import find

        config.stash[RUNTIME] = find(config.stash[SETTINGS]["container-command"])
    return config.stash[RUNTIME]


def missing(config: pytest.Config, names: Iterable[str]) -> Iterator[str]:
    """A line for each of these engines that cannot be imported where it is to run."""
    from pytest_lem.engines.registry import available, lacking

    for name in names:
        entry = registry_of(config).find(name)
        try:
            other = elsewhere(config, name)
        except (ConfigError, EngineNotAvailable) as error:
            yield f"{_said(config, entry)}: {error}"
            continue
        if other is None:
            problem = available(entry)
        else:
            kind, _ = places_of(config)[entry.name]
            problem = lacking(entry, other.missing, **{kind: str(other)})
        if problem is not None:
            yield problem


def version_of(config: pytest.Config, backend: str) -> str | None:
    """The version of the engine's library where it runs; None where not known."""
    from pytest_lem.spec.compat import installed, package_of

    other, package = elsewhere(config, backend), package_of(backend)
    return installed(package) if other is None else other.packages[package]


def warn(config: pytest.Config, notes: "Iterable[Note]") -> Iterator[str]:
    """Warn of each of these; a line where a warning is an error."""
    if config.stash[SETTINGS]["ignore-backend-warnings"]:
        return
    for note in notes:
        try:
            warnings.warn(LemConfigWarning(note), stacklevel=1)
        except LemConfigWarning as warning:
            yield str(warning)


def notes_on(
    config: pytest.Config, backends: set[str], models: set[str]
) -> "Iterator[Note]":
    """What is to be said of the places of these backends, and of the way to models."""
    from pytest_lem.spec.notes import Note
    from pytest_lem.workload.models import is_on_hub

    yield from _untested(config, backends)
    settings = config.stash[SETTINGS]
    if settings["container-privileged"]:
        yield Note(
            path="container-privileged",
            message=f"{settings.says('container-privileged')} gives the engine all "
            "rights over this machine, and no energy needs it",
            suggestion="meters run outside; --lem-container-args=--cap-add=... gives "
            "one right",
        )
    if os.environ.get("HF_TOKEN") and any(is_on_hub(one) for one in models):
        yield Note(
            path="HF_TOKEN",
            message="HF_TOKEN is taken from the environment, which all that runs here "
            "inherits",
            suggestion="`hf auth login`, or HF_TOKEN_PATH, keeps it in a file",
        )


def _untested(config: pytest.Config, backends: set[str]) -> Iterator["Note"]:
    from pytest_lem.spec.compat import untested

    asked = config.stash[SETTINGS]["meter"]
    meters = {"codecarbon", "zeus"} if "auto" in asked else {*asked}
    others = backends & {*places_of(config)}
    yield from untested(backends - others, meters)
    for name in sorted(others):
        other = elsewhere(config, name)
        if other is not None:
            yield from untested({name}, set(), other.packages.get)


def _said(config: pytest.Config, entry: "EngineEntry") -> str:
    kind, name = places_of(config)[entry.name]
    return f"--lem-{kind} {entry.name}={name}"
