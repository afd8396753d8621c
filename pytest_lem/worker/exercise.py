"""A process that does known work when it is told to, for the self-check of a meter."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from pytest_lem.errors import MeterError
from pytest_lem.worker.devices import environment_for, inherited

_STARTED_WITHIN_S = 120.0
_ENDED_WITHIN_S = 5.0
_GRACE_S = 60.0


class Exercise:
    """Runs a module that answers lines of work by when it began and ended.

    It works on those GPUs, or the CPU; `device` is which, `cuda` or `cpu`. Raises
    MeterError where it cannot be started, dies or does not answer in time. Leave the
    `with` block to end it.
    """

    def __init__(self, module: str, gpus: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**inherited(os.environ), **environment_for(gpus)},
        )
        try:
            self.device = str(self._answer(_STARTED_WITHIN_S)["device"])
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self.end()

    def do(self, what: str, amount: float, within_s: float) -> tuple[float, float]:
        """When the work began and ended, on CLOCK_MONOTONIC."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{what} {amount}\n".encode())
            self._process.stdin.flush()
        except OSError as error:
            raise MeterError(f"the work died: {self._last_words()}") from error
        answer = self._answer(within_s + _GRACE_S)
        return float(answer["start_s"]), float(answer["end_s"])

    def _answer(self, within_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        end_s, line = time.monotonic() + within_s, b""
        with selectors.DefaultSelector() as ready:
            ready.register(self._process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not ready.select(max(end_s - time.monotonic(), 0.0)):
                    raise MeterError(f"the work gave no answer within {within_s:.0f} s")
                piece = os.read(self._process.stdout.fileno(), 4096)
                if not piece:
                    raise MeterError(f"the work ended: {self._last_words()}")
                line += piece
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        self._process.kill()
        _, told = self._process.communicate()
        lines = told.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self._process.returncode}"

    def end(self) -> None:
        """End the process, at once if it does not end by itself."""
        if self._process.poll() is not None:
            return
        try:
            self._process.communicate(timeout=_ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
