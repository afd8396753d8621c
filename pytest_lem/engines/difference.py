"""What an engine takes, against what its parameters were written for."""

import difflib
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pytest_lem.engines.recorded import recorded
from pytest_lem.engines.signatures import Signatures, read
from pytest_lem.spec import catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Arguments as `object.argument`, of one engine.

    `gone` are targets of parameters that the engine does not take, `renamed` those of
    them that have a likely successor, `new` are arguments that no parameter reaches and
    that are not left out on purpose. `absent` are objects that were not found at all,
    of which nothing else is said. `version` is None where it is not known; `recorded`
    tells that it is not installed, and that its signatures were written down.
    """

    backend: str
    recorded: bool = False
    written_for: str
    version: str | None
    same: int
    absent: list[str]
    gone: list[str]
    renamed: dict[str, str]
    new: list[str]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def difference(backend: str, python: str = sys.executable) -> Difference:
    """Compare a backend's parameters with the engine that this Python has.

    Where it has none, with the newest signatures that were written down. Raises
    EngineNotAvailable where the engine is there and cannot be imported.
    """
    found = read(catalogue.native(backend), python)
    written = recorded(backend) if found.version is None else None
    left_out = {
        name for names in catalogue.not_covered(backend).values() for name in names
    }
    told = compare(backend, written or found, catalogue.targets(backend), left_out)
    return replace(told, recorded=written is not None)


def compare(
    backend: str,
    found: Signatures,
    targets: Mapping[str, set[str]],
    left_out: set[str],
) -> Difference:
    """The difference between targets by object and what was found."""
    installed = found.version is not None
    absent = sorted({*targets} - {*found.arguments}) if installed else []
    wanted = {
        f"{name}.{one}"
        for name, args in targets.items()
        for one in args
        if name not in absent
    }
    there = {f"{name}.{one}" for name, args in found.arguments.items() for one in args}
    gone = sorted(wanted - there) if installed else []
    new = sorted(there - wanted - left_out)
    return Difference(
        backend=backend,
        written_for=catalogue.versions(backend),
        version=found.version,
        same=len(wanted & there),
        absent=absent,
        gone=gone,
        renamed={old: near for old in gone if (near := _successor(old, new))},
        new=new,
    )


def _successor(old: str, new: list[str]) -> str | None:
    """The new argument of the same object that is called most alike."""
    beside = [one for one in new if one.rpartition(".")[0] == old.rpartition(".")[0]]
    names = {one.rpartition(".")[2]: one for one in beside}
    near = difflib.get_close_matches(old.rpartition(".")[2], names, n=1)
    return names[near[0]] if near else None
