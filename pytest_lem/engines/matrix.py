"""What each engine can do, looked up in the engine that is installed."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pytest_lem.engines import Capabilities
from pytest_lem.engines.driven import drives
from pytest_lem.engines.recorded import recorded, recordings
from pytest_lem.engines.registry import BUILT_IN, EngineEntry
from pytest_lem.engines.signatures import Signatures, read
from pytest_lem.errors import ConfigError, EngineNotAvailable
from pytest_lem.spec import catalogue
from pytest_lem.spec.features import ALWAYS, CHECKPOINT, FEATURES
from pytest_lem.spec.nearest import unknown

State = Literal["yes", "recorded", "not driven", "gone", "not looked at", "no"]

STATES: Mapping[State, str] = {
    "yes": "the engine has it, and this version of pytest-lem drives it",
    "recorded": "the same by its recorded sources: the engine is not installed here",
    "not driven": "the engine has it, and this version refuses it by name",
    "gone": "the installed engine does not take the argument any more",
    "not looked at": "the engine is not installed here, so nobody can tell",
    "no": "the engine cannot do it, or pytest-lem has no way to ask for it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One engine: its version, what it declares, and each feature's state.

    `version` is None where it is not installed, and `problem` says why an engine that
    is there could not be looked at. `capabilities` is None where this version of
    pytest-lem has no such engine. `recorded` names the versions whose recorded
    signatures were looked up in place of those of an engine that is not installed.
    """

    backend: str
    version: str | None
    recorded: Sequence[str]
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
    written = _written(backend) if found.version is None else []
    return Column(
        backend=backend,
        version=found.version,
        recorded=[str(one.version) for one in written],
        written_for=catalogue.versions(backend),
        problem=problem,
        capabilities=entry.capabilities if entry else None,
        features={
            name: _state(paths.get(backend), backend, entry, found)
            if not written
            else _recorded(paths.get(backend), backend, entry, written)
            for name, paths in FEATURES.items()
        },
    )


def _recorded(
    path: str | None,
    backend: str,
    entry: EngineEntry | None,
    written: Sequence[Signatures],
) -> State:
    """The state by the newest version of which the parameter's object was recorded."""
    for one in written:
        if path is not None and path not in (ALWAYS, CHECKPOINT):
            name, _ = _target(path, backend)
            if name in catalogue.native(backend) and name not in one.arguments:
                continue
        state = _state(path, backend, entry, one)
        return "recorded" if state == "yes" else state
    return "not looked at"


def _written(backend: str) -> list[Signatures]:
    """What was recorded of an engine, the newest version first."""
    found = (recorded(backend, version) for version in reversed(recordings(backend)))
    return [one for one in found if one is not None]


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
    name, argument = _target(path, backend)
    return name not in catalogue.native(backend) or argument in found.arguments.get(
        name, ()
    )


def _target(path: str, backend: str) -> tuple[str, str]:
    """The object and the argument behind a parameter."""
    rows = (*catalogue.rows(catalogue.UNIVERSAL), *catalogue.rows(backend))
    row = next(one for one in rows if one.path == path)
    name, _, argument = row.targets[backend].rpartition(".")
    return name, argument
