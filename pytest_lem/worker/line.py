"""The conversation with one worker: ask, hear signs of life, keep to the limits."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pytest_lem import __version__
from pytest_lem.errors import ConfigError, LemError, Timeout, WorkerDied, from_kind
from pytest_lem.worker.launch.process import WorkerProcess
from pytest_lem.worker.protocol import (
    Arrays,
    Beat,
    Message,
    ProtocolError,
    VersionMismatch,
    encode,
    receive,
    write,
)

_BEAT_GAP_S = 0.5
_JOIN_S = 5.0
_ENDED_WITHIN_S = 5.0
_OPTIONS = {
    "hello": "--lem-start-timeout",
    "context": "--lem-start-timeout",
    "load": "--lem-timeout",
    "generate": "--lem-timeout",
    "profile": "--lem-timeout",
    "silence": "lem_silence_timeout",
}

OnBeat = Callable[[Beat], None]
Heard = Message | ProtocolError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long each step of a worker may take, in seconds.

    `silence_s` is the longest time without any sign of life, within any step;
    `grace_s` is what a worker gets to end by itself before it is killed. `ends_at_s` is
    when, on CLOCK_MONOTONIC, the time of all steps but the unload is over.
    """

    start_s: float = 120
    load_s: float = 900
    tokenize_s: float = 120
    generate_s: float = 600
    unload_s: float = 60
    silence_s: float = 60
    grace_s: float = 2
    ends_at_s: float | None = None

    def later(self, by_s: float) -> Limits:
        """The same, with so much more time for each step."""
        steps = ("start_s", "load_s", "tokenize_s", "generate_s", "unload_s")
        return replace(self, **{name: getattr(self, name) + by_s for name in steps})


class Line:
    """Carries one request at a time; threads read and write, the caller only waits.

    A worker that is too late, silent or dead is killed here, with its group, before
    the error is raised that tells of it.
    """

    def __init__(
        self,
        worker: WorkerProcess,
        *,
        name: str,
        limits: Limits,
        on_beat: OnBeat | None,
    ) -> None:
        self._worker = worker
        self._name = name
        self._limits = limits
        self._on_beat = on_beat
        self._beaten_s = 0.0
        self._asked = 0
        self._heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._threads = [self._start(_listen, worker.reader, self._heard)]

    def ask(
        self, step: str, body: dict[str, Any], arrays: Arrays, *, limit_s: float
    ) -> Message:
        """The worker's answer; a LemError for a failure, a late or a lost worker."""
        self._asked += 1
        request = Message(kind=step, id=self._asked, body=body, arrays=arrays)
        frames = encode(request)
        self._forget_beats()
        # A worker that does not read must not hold the caller beyond its limit.
        self._threads[1:] = [self._start(_write, self._worker.writer, frames)]
        return self._await(request, limit_s)

    def hang_up(self) -> None:
        """Close the pipes; the worker's group must have ended."""
        for thread in self._threads:
            thread.join(_JOIN_S)
        if not any(thread.is_alive() for thread in self._threads):
            self._worker.close_pipes()

    def _await(self, request: Message, limit_s: float) -> Message:
        asked = heard = time.monotonic()
        over = self._limits.ends_at_s
        if over is None or request.kind == "unload":
            over = math.inf
        while True:
            silent = heard + self._limits.silence_s
            until = min(asked + limit_s, silent, over)
            try:
                message = self._heard.get(timeout=max(0, until - time.monotonic()))
            except queue.Empty:
                step, set_by = request.kind, _OPTIONS.get(request.kind)
                what = f"took longer than its limit of {limit_s:g} s"
                if until == silent:
                    what = f"gave no sign of life for {self._limits.silence_s:g} s"
                    set_by = _OPTIONS["silence"]
                elif until == over:
                    what = "is not done, and the time of the session is over"
                    set_by = None
                what += f"; {set_by} sets the limit" if set_by else ""
                raise self._late(step, what) from None
            heard = time.monotonic()
            answer = self._judge(message, request)
            if answer.kind != "heartbeat":
                return answer
            self._show(answer, heard)

    def _judge(self, message: Heard, request: Message) -> Message:
        step = request.kind
        if message is None:
            raise self._lost(step, self._ending())
        if isinstance(message, VersionMismatch):
            msg = (
                f"the pytest-lem beside {self._name} is of another version: "
                f"{message}; install pytest-lem=={__version__} there"
            )
            raise ConfigError(msg)
        if isinstance(message, ProtocolError):
            raise self._lost(step, f"what it said makes no sense: {message}")
        if message.kind == "error":
            raise self.told(step, message.body)
        if message.kind != "heartbeat" and message.id != request.id:
            raise self._lost(step, "its answer belongs to another request")
        return message

    def _forget_beats(self) -> None:
        """Drop what came while nothing was asked, but for the news of its end."""
        while not self._heard.empty():
            message = self._heard.get()
            if not isinstance(message, Message):
                self._heard.put(message)
                return

    def _show(self, message: Message, now_s: float) -> None:
        if self._on_beat and now_s - self._beaten_s >= _BEAT_GAP_S:
            self._beaten_s = now_s
            self._on_beat(Beat.from_json(message.body))

    def _ending(self) -> str:
        self._worker.wait(_ENDED_WITHIN_S)
        return self._worker.ending()

    def told(self, step: str, body: dict[str, Any]) -> LemError:
        """The failure that a worker tells of, with its traceback and the log's tail."""
        message = f"{self._name}, {step}: {body['message']}"
        detail = f"{body['traceback']}\n{self._worker.log_tail()}"
        return from_kind(body["error"], message, detail=detail)

    def _late(self, step: str, what: str) -> LemError:
        self._worker.dump_stacks()
        self._worker.kill()
        msg = f"{self._name}, {step}: the worker {what}"
        return Timeout(msg, detail=self._worker.log_tail())

    def _lost(self, step: str, why: str) -> LemError:
        self._worker.kill()
        msg = f"{self._name}, {step}: the worker is lost: {why}"
        return WorkerDied(msg, detail=self._worker.log_tail())

    @staticmethod
    def _start(target: Callable[..., None], *args: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        return thread


def _listen(fd: int, heard: queue.SimpleQueue[Heard]) -> None:
    """Pass on every message, up to the pipe's end or the first that makes no sense."""
    while True:
        try:
            message: Heard = receive(fd)
        except ProtocolError as error:
            message = error
        heard.put(message)
        if not isinstance(message, Message):
            return


def _write(fd: int, frames: bytes) -> None:
    # A broken pipe is the end that the listener tells of.
    with contextlib.suppress(BrokenPipeError):
        write(fd, frames)
