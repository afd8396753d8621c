"""Another Python that a worker is to run under: asked what it has before it is used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_lem
from pytest_lem.errors import ConfigError, EngineNotAvailable
from pytest_lem.worker.protocol import PROTOCOL

LEAST = (3, 11)
TIMEOUT_S = 60.0
QUESTION = Path(__file__).with_name("answers.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """What a Python has: its version, and of what was asked for what is not there.

    `packages` has the version of each, None where it is not installed.
    """

    path: str
    version: str
    missing: Sequence[str]
    packages: Mapping[str, str | None]

    def __str__(self) -> str:
        """Its path."""
        return self.path


def find(name: str) -> str:
    """The path of a Python, by its path or its name on `PATH`.

    ConfigError where there is none. A symbolic link is kept as it is: a virtual
    environment is known by it.
    """
    path = Path(name).expanduser()
    inside = path / "bin" / "python"
    if path.is_dir():
        hint = f"; did you mean {inside}?" if inside.is_file() else ""
        raise ConfigError(f"{name} is a directory{hint}")
    found = shutil.which(path)
    if found is None:
        wrong = "cannot be executed" if path.exists() else "does not exist"
        raise ConfigError(f"{name} {wrong}")
    return os.path.abspath(found)


def ask(
    path: str,
    *,
    modules: Sequence[str],
    packages: Sequence[str],
    timeout_s: float = TIMEOUT_S,
) -> Interpreter:
    """What that Python has of these modules and packages; imports no engine there.

    ConfigError where it is no Python, one that is too old, or one whose pytest-lem
    speaks another protocol; EngineNotAvailable where it has none.
    """
    question = [list(modules), list(packages)]
    command, wrong = [path, str(QUESTION)], f"{path} is no Python"
    told = answer(command, question, wrong=wrong, timeout_s=timeout_s)
    version = python_version(told, path)
    plugin = told["plugin"]
    if plugin is None:
        raise EngineNotAvailable(
            f"{path} has no pytest-lem, which must be beside the engine: "
            f"{install_command(path)}"
        )
    if plugin["protocol"] != PROTOCOL:
        raise ConfigError(
            f"{path} has pytest-lem {plugin['version']}, which speaks protocol "
            f"{plugin['protocol']} and this one {PROTOCOL}: {install_command(path)}"
        )
    return Interpreter(
        path=path, version=version, missing=told["missing"], packages=told["packages"]
    )


def install_command(python: str) -> str:
    """How to put this pytest-lem, and nothing else, beside an engine."""
    checkout = Path(pytest_lem.__file__).parents[1]
    whole = (checkout / "pyproject.toml").is_file()
    what = checkout if whole else f"pytest-lem=={pytest_lem.__version__}"
    return f"{python} -m pip install --no-deps {what}"


def answer(
    command: Sequence[str],
    question: Sequence[Sequence[str]],
    *,
    wrong: str,
    timeout_s: float = TIMEOUT_S,
) -> dict[str, Any]:
    """What `answers.py`, which the command runs, says to that.

    ConfigError, which begins with `wrong`, where there is no answer.
    """
    try:
        done = subprocess.run(
            command,
            input=json.dumps(question),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
        )
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        found["version"]
    except (OSError, subprocess.SubprocessError) as error:
        lines = str(getattr(error, "stderr", None) or error).strip().splitlines()
        raise ConfigError(f"{wrong}: {lines[-1]}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise ConfigError(f"{wrong}: it does not answer as one") from error
    return found


def python_version(told: Mapping[str, Any], said: str) -> str:
    """The version of the Python that told so; ConfigError where it is too old."""
    version = ".".join(map(str, told["version"]))
    if tuple(told["version"]) < LEAST:
        least = ".".join(map(str, LEAST))
        raise ConfigError(f"{said} is Python {version}, and {least} is the least")
    return version
