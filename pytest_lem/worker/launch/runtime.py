"""The command that runs containers, docker or podman, and its two dialects."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_lem.errors import ConfigError

KNOWN: tuple[Literal["docker", "podman"], ...] = ("docker", "podman")

_ANSWERS_WITHIN_S = 30.0
_REMOVED_WITHIN_S = 30.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A command that runs containers, by its path; `kind` is its dialect."""

    command: str
    kind: Literal["docker", "podman"]
    version: str

    def __str__(self) -> str:
        """Its kind and version."""
        return f"{self.kind} {self.version}"

    def gpus(self, uuids: Sequence[str]) -> list[str]:
        """What gives a container these GPUs, or instances of MIG, and no others."""
        if not uuids:
            return []
        if self.kind == "podman":
            return [f"--device=nvidia.com/gpu={uuid}" for uuid in uuids]
        return ["--gpus", f'"device={",".join(uuids)}"']  # it reads this as CSV

    def user(self) -> list[str]:
        """What makes files of a container the caller's own."""
        own = f"--user={os.getuid()}:{os.getgid()}"
        rootless = self.kind == "podman" and os.getuid() != 0
        return [own, "--userns=keep-id"] if rootless else [own]

    def ask(self, *arguments: str, within_s: float = _ANSWERS_WITHIN_S) -> str:
        """What it prints; ConfigError with its last words where it fails or is late."""
        done = self._run(*arguments, within_s=within_s)
        if done.returncode != 0:
            raise ConfigError(f"{self.command} {arguments[0]}: {_last_words(done)}")
        return done.stdout.strip()

    def remove(self, name: str, within_s: float = _REMOVED_WITHIN_S) -> str | None:
        """Kill a container and remove it; None once there is none, else a line."""
        force = ["rm", "--force", "--volumes"]
        force += ["--time=0"] if self.kind == "podman" else []
        filters = ["ps", "--all", "--quiet", "--filter", f"name=^{name}$"]
        deadline = time.monotonic() + within_s
        while True:
            done = self._run(*force, name, within_s=within_s)
            there = self._run(*filters, within_s=within_s)
            if there.returncode == 0 and not there.stdout.strip():
                return None
            if time.monotonic() >= deadline:
                wrong = there if there.returncode else done
                return f"container {name} does not end: {_last_words(wrong)}"
            time.sleep(_POLL_S)

    def _run(
        self, *arguments: str, within_s: float
    ) -> subprocess.CompletedProcess[str]:
        command = [self.command, *arguments]
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=within_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            said = f"no answer within {within_s:g} s"
            return subprocess.CompletedProcess(command, 124, "", said)


def find(name: str) -> Runtime:
    """The command of that name or path; of `auto` the first of docker and podman.

    ConfigError where there is none that works.
    """
    wrong = []
    for one in KNOWN if name == "auto" else (name,):
        try:
            return _known(one)
        except ConfigError as error:
            wrong.append(str(error))
    raise ConfigError("; ".join(wrong))


def _known(name: str) -> Runtime:
    path = shutil.which(os.path.expanduser(name))
    if path is None:
        raise ConfigError(f"{name} is not installed")
    alone = Runtime(command=path, kind="docker", version="")
    told = alone.ask("--version").lower()
    kind = next((one for one in KNOWN if one in told), None)
    if kind is None:
        raise ConfigError(f"{name} is neither docker nor podman")
    # Of docker the daemon counts: its client alone runs nothing.
    part = "Client" if kind == "podman" else "Server"
    version = alone.ask("version", f"--format={{{{.{part}.Version}}}}")
    return Runtime(command=path, kind=kind, version=version)


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1] if lines else f"exit status {done.returncode}"
