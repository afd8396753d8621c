"""An image that a worker is to run in: asked what it has before it is used."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest_lem
from pytest_lem.errors import ConfigError, EngineNotAvailable
from pytest_lem.worker.launch.interpreter import QUESTION, answer, python_version
from pytest_lem.worker.launch.runtime import Runtime
from pytest_lem.worker.protocol import PROTOCOL

TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What an image has: its Python's version, and of what was asked for what is not.

    `id` is that of its contents, `runtime` is what has it. `packages` has the version
    of each, None where it is not installed.
    """

    name: str
    id: str
    runtime: Runtime
    version: str
    missing: Sequence[str]
    packages: Mapping[str, str | None]

    def __str__(self) -> str:
        """The name it was asked for by."""
        return self.name

    def to_json(self) -> dict[str, str]:
        """What the record says of it."""
        return {"name": self.name, "id": self.id, "runtime": str(self.runtime)}


def ask(
    name: str,
    runtime: Runtime,
    *,
    modules: Sequence[str],
    packages: Sequence[str],
    arguments: Sequence[str] = (),
    timeout_s: float = TIMEOUT_S,
) -> Image:
    """What that image has of these modules and packages; imports no engine there.

    `arguments` are more of them for `run`. ConfigError where it is not there, has no
    Python that will do, or a pytest-lem of another version or protocol;
    EngineNotAvailable where it has none.
    """
    named = f"{runtime.kind} has no image {name}"
    try:
        found = runtime.ask("image", "inspect", "--format={{.Id}}", name)
    except ConfigError as error:
        msg = f"{named}: pull or build it first (docs/environments.md)"
        raise ConfigError(msg) from error
    question = [list(modules), list(packages)]
    told = _told(name, found, runtime, question, arguments, timeout_s)
    version = python_version(told, f"the python3 of {name}")
    _agree(name, told["plugin"])
    return Image(
        name=name,
        id=found.removeprefix("sha256:"),
        runtime=runtime,
        version=version,
        missing=told["missing"],
        packages=told["packages"],
    )


def _told(
    name: str,
    found: str,
    runtime: Runtime,
    question: Sequence[Sequence[str]],
    arguments: Sequence[str],
    timeout_s: float,
) -> dict[str, Any]:
    """The answer of a container that lives for it alone."""
    container = f"lem-asked-{uuid.uuid4().hex[:12]}"
    command = [runtime.command, "run", "--interactive", "--rm", "--pull=never"]
    command += ["--no-healthcheck", f"--name={container}"]
    command += [f"--mount=type=bind,source={QUESTION},target=/answers.py,readonly"]
    command += [*arguments, "--entrypoint=python3", found, "/answers.py"]
    try:
        return answer(
            command,
            question,
            wrong=f"{name} has no python3 that answers",
            timeout_s=timeout_s,
        )
    except BaseException:
        runtime.remove(container)
        raise


def _agree(name: str, plugin: Mapping[str, Any] | None) -> None:
    here = pytest_lem.__version__
    if plugin is None:
        msg = f"{name} has no pytest-lem: build it with pytest-lem=={here}"
        raise EngineNotAvailable(msg)
    there, protocol = plugin["version"], plugin["protocol"]
    if protocol != PROTOCOL:
        raise ConfigError(
            f"{name} has pytest-lem {there}, which speaks protocol {protocol} and this "
            f"one {PROTOCOL}: build it anew with pytest-lem=={here}"
        )
    if there != here:
        raise ConfigError(
            f"{name} has pytest-lem {there} and this is {here}: build it anew"
        )
