"""The containers of a session: one for each worker, or one that workers share."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pytest_lem.errors import ConfigError, WorkerDied
from pytest_lem.machine.memory import fullest
from pytest_lem.machine.processes import housemates
from pytest_lem.worker.devices import granted
from pytest_lem.worker.launch.container import WORKER, ContainedWorker, run, watched
from pytest_lem.worker.launch.housing import Housing
from pytest_lem.worker.launch.image import Image

RESTARTS = 3
# Of a GPU's memory, while no engine is loaded.
FULL = 0.9

_STARTED_WITHIN_S = 120.0
_EMPTY_WITHIN_S = 5.0
_POLL_S = 0.1
# Ends with its pipe, and so with the command that started it.
_HOLD = ("-P", "-c", "import sys; print('here', flush=True); sys.stdin.read()")


class Containers:
    """Starts workers of the backends whose engines are in images.

    Each has a container of its own, or with `keep` follows others in one that lasts:
    that is looked after before each worker, and restarted three times at most.
    """

    def __init__(self, images: Mapping[str, Image], housing: Housing) -> None:
        self._images = images
        self._housing = housing
        self._kept: dict[str, _Kept] = {}
        self._starts: dict[str, int] = {}

    def __contains__(self, backend: str) -> bool:
        """Whether its engine is in an image."""
        return backend in self._images

    def start(
        self, backend: str, *, environment: Mapping[str, str], log_path: Path
    ) -> ContainedWorker:
        """A worker in that backend's image, with these variables.

        Raises WorkerDied, ConfigError where no container can be had.
        """
        image = self._images[backend]
        variables = {**environment, **granted(self._housing.gpus)}
        told = [f"--env={name}={value}" for name, value in variables.items()]
        if not self._housing.keep:
            return run(image, self._housing, backend, WORKER, log_path, told)
        kept = self._ready(backend, log_path)
        name = kept.holder.place["container"]
        command = [image.runtime.command, "exec", "--interactive", *told]
        command += [f"--workdir={Path.cwd()}", name, "python3", *WORKER]
        return ContainedWorker(
            watched(image.runtime, command, log_path),
            log_path,
            place=kept.holder.place,
            first_inside=kept.holder.first_inside,
            remove=partial(self._drop, backend),
        )

    def close(self) -> list[str]:
        """Remove the containers that were kept; a line for each that stays."""
        told = [self._drop(backend) for backend in [*self._kept]]
        return [one for one in told if one]

    def _ready(self, backend: str, log_path: Path) -> _Kept:
        """The kept container of a backend, well; a new one where there is none such."""
        kept = self._kept.get(backend)
        wrong = kept.unwell(self._housing) if kept else "it was ended"
        if kept is not None and wrong is None:
            return kept
        left = self._drop(backend)
        starts = self._starts[backend] = self._starts.get(backend, 0) + 1
        if left or starts > 1 + RESTARTS:
            why = left or f"{wrong}; it was started anew {RESTARTS} times before"
            raise WorkerDied(f"the container of {backend}: {why}")
        log_path = log_path.with_name(f"container-{backend}-{starts}.log")
        holder = run(self._images[backend], self._housing, backend, _HOLD, log_path)
        self._kept[backend] = kept = _Kept(holder=holder, image=self._images[backend])
        kept.wait()
        return kept

    def _drop(self, backend: str) -> str | None:
        kept = self._kept.pop(backend, None)
        return None if kept is None else kept.end()


@dataclass(slots=True, kw_only=True)
class _Kept:
    """A container that lasts, by what holds it open."""

    holder: ContainedWorker
    image: Image
    alone: int = 0

    def wait(self) -> None:
        """Wait until it is there; raises WorkerDied where it is not to come."""
        with selectors.DefaultSelector() as ready:
            ready.register(self.holder.reader, selectors.EVENT_READ)
            told = ready.select(_STARTED_WITHIN_S)
        if not (told and os.read(self.holder.reader, 64)):
            self.holder.kill()
            msg = f"the container of {self.image} did not start: {self.holder.ending()}"
            raise WorkerDied(msg, detail=self.holder.log_tail())
        self.alone = len(housemates(self.holder.first_inside()))

    def unwell(self, housing: Housing) -> str | None:
        """What is wrong with it, now that no worker is in it; None where nothing is."""
        name, runtime = self.holder.place["container"], self.image.runtime
        try:
            runtime.ask("exec", name, "python3", "-P", "-c", "pass")
            first = self.holder.first_inside()
        except ConfigError as error:
            return f"it does not answer: {error}"
        deadline = time.monotonic() + _EMPTY_WITHIN_S
        while len(housemates(first)) > self.alone:
            if time.monotonic() >= deadline:
                return "processes of an earlier worker are left in it"
            time.sleep(_POLL_S)
        share = fullest(housing.gpus)
        if share is not None and share > FULL:
            return f"a GPU's memory is used by {share:.0%}"
        return None

    def end(self) -> str | None:
        """Remove it; None, or one line on what stays."""
        left = self.holder.kill()
        self.holder.close_pipes()
        return left
