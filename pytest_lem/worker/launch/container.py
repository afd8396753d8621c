"""A worker in a container: the same two pipes, and another end."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any

from pytest_lem.worker.devices import inherited
from pytest_lem.worker.launch.housing import Housing, home_of
from pytest_lem.worker.launch.image import Image
from pytest_lem.worker.launch.process import WorkerProcess, spawn
from pytest_lem.worker.launch.runtime import Runtime
from pytest_lem.worker.launch.secret import Secret, token_file, without_token

WORKER = ("-P", "-m", "pytest_lem.worker")

_ENDED_WITHIN_S = 15.0
# What both runtimes, as shells do, add to the number of a signal that ended something.
_SIGNAL = 128


class ContainedWorker(WorkerProcess):
    """A worker in a container, by the command that carries its pipes.

    `place` is what the record says of where it is. Its first process on this side is
    the warden, which ends once the container is gone.
    """

    def __init__(
        self,
        started: tuple[Popen[bytes], int],
        log_path: Path,
        *,
        place: Mapping[str, Any],
        first_inside: Callable[[], int],
        remove: Callable[[], str | None],
    ) -> None:
        popen, log_start = started
        super().__init__(popen, log_path, log_start)
        self.place = place
        self._first_inside = first_inside
        self._remove = remove

    def first_inside(self) -> int:
        """The first process of its container, by its number on this side."""
        return self._first_inside()

    def ending(self) -> str:
        """How the first process ended; a signal in the container is a status here."""
        status = self._status()
        if status is None or status <= _SIGNAL:
            return super().ending()
        name = signal.Signals(status - _SIGNAL).name
        return f"it was ended by {name} in its container"

    def end(self, grace_s: float) -> str | None:
        """Ask it to end, which the warden sees to; kill it where that takes long."""
        if not self.wait(0):
            os.kill(self.pid, signal.SIGTERM)
        if self.wait(max(grace_s, _ENDED_WITHIN_S)):
            return super().kill()
        return self.kill()

    def kill(self) -> str | None:
        """Remove the container with all in it, then kill what carried its pipes."""
        if self._popen.returncode is not None or os.getpid() != self._owner:
            return None
        problems = self._remove(), super().kill()
        return "; ".join(filter(None, problems)) or None


def run(
    image: Image,
    housing: Housing,
    backend: str,
    what: Sequence[str],
    log_path: Path,
    variables: Sequence[str] = (),
) -> ContainedWorker:
    """A new container in which python3 does `what`; the warden removes it afterwards.

    `variables` are arguments that set them. ConfigError for a path that cannot go into
    it.
    """
    runtime, name = image.runtime, f"lem-{backend}-{uuid.uuid4().hex[:12]}"
    secret = token_file(os.environ)
    try:
        how = housing.arguments_for(name, image, home=home_of(backend), secret=secret)
        how += [*variables, "--entrypoint=python3", image.id, *what]
        command = [runtime.command, "run", *how]
        started = watched(runtime, command, log_path, name, secret)
    except BaseException:
        _discard(secret)
        raise
    mode = "exec" if housing.keep else "run"
    return ContainedWorker(
        started,
        log_path,
        place={**image.to_json(), "container": name, "mode": mode},
        first_inside=partial(_first_inside, runtime, name),
        remove=partial(_removed, runtime, name, secret),
    )


def watched(
    runtime: Runtime,
    command: Sequence[str],
    log_path: Path,
    name: str | None = None,
    secret: Secret | None = None,
) -> tuple[Popen[bytes], int]:
    """A command of the runtime below a warden, which removes the named container."""
    warden = [sys.executable, "-P", "-m", "pytest_lem.worker.launch.warden"]
    warden += ["--parent", str(os.getpid()), "--kind", runtime.kind]
    warden += ["--remove", name] if name else []
    if secret is not None and secret.directory is not None:
        warden += ["--discard", str(secret.directory)]
    return spawn(
        [*warden, "--", *command],
        env=without_token(inherited(os.environ)),
        log_path=log_path,
    )


def _first_inside(runtime: Runtime, name: str) -> int:
    """The first process of a container, by its number on this machine."""
    return int(runtime.ask("container", "inspect", "--format={{.State.Pid}}", name))


def _removed(runtime: Runtime, name: str, secret: Secret | None) -> str | None:
    _discard(secret)
    return runtime.remove(name)


def _discard(secret: Secret | None) -> None:
    if secret is not None and secret.directory is not None:
        shutil.rmtree(secret.directory, ignore_errors=True)
