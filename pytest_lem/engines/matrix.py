"""What each engine can do, looked up in the engine that is installed."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pytest_lem.engines import Capabilities
from pytest_lem.engines.driven import drives
from pytest_lem.engines.registry import BUILT_IN, EngineEntry
from pytest_lem.engines.signatures import Signatures, read
from pytest_lem.errors import ConfigError, EngineNotAvailable
from pytest_lem.spec import catalogue
from pytest_lem.spec.features import ALWAYS, CHECKPOINT, FEATURES
from pytest_lem.spec.nearest import unknown

State = Literal["yes", "not driven", "gone", "not looked at", "no"]

STATES: Mapping[State, str] = {
    "yes": "the engine has it, and this version of pytest-lem drives it",
    "not driven": "the engine has it, and this version refuses it by name",
    "gone": "the installed engine does not take the argument any more",
    "not looked at": "the engine is not installed here, so nobody can tell",
    "no": "the engine cannot do it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One engine: its version, what it declares, and each feature's state.

    `version` is None where it is not installed, and `problem` says why an engine that
    is there could not be looked at. `capabilities` is None where this version of
    pytest-lem has no such engine.
    """

    backend: str
    version: str | None
    written_for: str
    problem: str | None
    capabilities: Capabilities | None
    features: Mapping[str, State]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def matrix(others: Iterable[str]) -> Iterator[Column]:
    """A column for each backend, looked up by this Python or by `BACKEND=PATH`.

    Raises ConfigError for one of `others` that is not written so.
    """
    pythons = {}
    for pair in others:
        backend, equals, path = pair.partition("=")
        if not (equals and path):
            raise ConfigError(f"--python {pair!r} is not BACKEND=PATH")
        if backend not in catalogue.BACKENDS:
            raise ConfigError(unknown("backend", backend, catalogue.BACKENDS))
        pythons[backend] = path
    for backend in catalogue.BACKENDS:
        yield column(backend, pythons.get(backend, sys.executable))


def column(backend: str, python: str) -> Column:
    """What this interpreter's engine can do."""
    entry = next((one for one in BUILT_IN if one.name == backend), None)
    problem, found = None, Signatures(version=None, arguments={})
    try:
        found = read(catalogue.native(backend), python)
    except EngineNotAvailable as error:
        problem = error.message
    return Column(
        backend=backend,
        version=found.version,
        written_for=catalogue.versions(backend),
        problem=problem,
        capabilities=entry.capabilities if entry else None,
        features={
            name: _state(paths.get(backend), backend, entry, found)
            for name, paths in FEATURES.items()
        },
    )


def _state(
    path: str | None, backend: str, entry: EngineEntry | None, found: Signatures
) -> State:
    if path is None:
        return "no"
    if found.version is None:
        return "not looked at"
    if path in (ALWAYS, CHECKPOINT):
        return "yes" if entry else "not driven"
    if not _taken(path, backend, found):
        return "gone"
    if entry and entry.driven is not None:
        obeyed = drives(path, entry.driven, section=backend)
        return "yes" if obeyed else "not driven"
    return "yes" if entry else "not driven"


def _taken(path: str, backend: str, found: Signatures) -> bool:
    """Whether the installed engine takes the argument behind a parameter."""
    rows = (*catalogue.rows(catalogue.UNIVERSAL), *catalogue.rows(backend))
    row = next(one for one in rows if one.path == path)
    name, _, argument = row.targets[backend].rpartition(".")
    return name not in catalogue.native(backend) or argument in found.arguments.get(
        name, ()
    )
