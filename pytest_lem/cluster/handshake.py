"""Whether a node is like the driver: versions, tests, experiments, files."""

import hashlib
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest_lem

PROTOCOL = 1
"""What driver and node say to each other; a node of another is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What a node and its driver have in common, if they are to work together."""

    protocol: int
    plugin: str
    python: str
    ray: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def versions() -> Versions:
    """Those of this process."""
    try:
        ray = version("ray")
    except PackageNotFoundError:
        ray = "none"
    return Versions(
        protocol=PROTOCOL,
        plugin=pytest_lem.__version__,
        python=platform.python_version(),
        ray=ray,
    )


def unlike(here: Versions, there: Mapping[str, Any]) -> Iterator[str]:
    """A line for each version that differs, with both sides."""
    for key, value in here.to_json().items():
        if there.get(key) != value:
            yield f"{key} {there.get(key, 'unknown')}, the driver has {value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a session collected: identities of experiments by id, hashes of files."""

    experiments: Mapping[str, str]
    files: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"experiments": {**self.experiments}, "files": {**self.files}}

    def unlike(self, other: Mapping[str, Any]) -> Iterator[str]:
        """A line for each thing that a node has otherwise than the driver.

        What a node collected beyond what the driver asks of it does not matter.
        """
        for path, digest in self.files.items():
            if path not in other["files"]:
                yield f"{path} is not there"
            elif other["files"][path] != digest:
                yield f"{path} is another than the driver's"
        for name, identity in self.experiments.items():
            if name not in other["experiments"]:
                yield f"{name} is not collected there"
            elif other["experiments"][name] != identity:
                its = other["experiments"][name]
                yield f"{name} is {its} there, the driver has {identity}"


def hashes(paths: Iterable[Path], root: Path) -> dict[str, str]:
    """The files and the conftest files above them, by their paths below the root."""
    wanted: dict[Path, None] = {}
    for path in dict.fromkeys(paths):
        above = (
            one / "conftest.py" for one in path.parents if root in (one, *one.parents)
        )
        wanted |= dict.fromkeys([path, *filter(Path.is_file, above)])
    return {
        os.path.relpath(one, root): hashlib.sha256(one.read_bytes()).hexdigest()
        for one in wanted
    }
