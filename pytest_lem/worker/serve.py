"""The engine's side of the wall: answers requests, one at a time, in the main thread.

Standard library only, besides the engine that it is told to import.
"""

from __future__ import annotations

import importlib
import os
import platform
import queue
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_lem import __version__
from pytest_lem.engines import (
    CountsFlops,
    Engine,
    GenerateOptions,
    Generation,
    Profiles,
    Salvages,
    TellsLikelihood,
)
from pytest_lem.engines.chatting import chatted
from pytest_lem.engines.contract import first_line, judged
from pytest_lem.errors import ConfigError, GenerationError
from pytest_lem.worker import cuda
from pytest_lem.worker.crew import Crew
from pytest_lem.worker.failure import failure
from pytest_lem.worker.payload import (
    pack_generation,
    pack_loaded,
    pack_logs,
    pack_ragged,
    unpack_ragged,
)
from pytest_lem.worker.protocol import (
    PROTOCOL,
    Arrays,
    Beat,
    Message,
    ProtocolError,
    encode,
    receive,
    write,
)

_BEAT_S = 1.0
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6

Answer = tuple[dict[str, Any], Arrays]


class Worker:
    """Serves one engine over two pipes until it is told to exit or the parent is gone.

    The main thread works; one thread reads requests, so that the end of the pipe is
    noticed whatever the main thread does; one thread gives a sign of life each second.
    Where it is told of ranks, these have the engine, and it passes on what is asked. A
    rank calls `meet` right before its windows, and starts with the others.
    """

    def __init__(
        self, reader: int, writer: int, *, meet: Callable[[], None] | None = None
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._meet = meet
        self._writing = threading.Lock()
        self._requests: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._engine: Engine | None = None
        self._crew: Crew | None = None
        self._step = "start"
        self._since = time.monotonic()
        self._done = 0
        self._total = 0
        self._handlers: dict[str, Callable[[Message], Answer]] = {
            "hello": self._hello,
            "context": self._context,
            "load": self._load,
            "tokenize": self._tokenize,
            "chat": self._chat,
            "detokenize": self._detokenize,
            "generate": self._generate,
            "count_flops": self._count_flops,
            "profile": self._profile,
            "log_probabilities": self._log_probabilities,
            "unload": self._unload,
            "exit": self._exit,
        }

    def serve(self) -> None:
        """Answer requests, in their order, up to `exit`."""
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()
        kind = "wait"
        while kind != "exit":
            request = self._requests.get()
            kind = request.kind
            self._enter(kind)
            answer = self._answer(request)
            self._enter("wait")
            self._say(answer)

    def _answer(self, request: Message) -> bytes:
        try:
            handler = self._handlers.get(request.kind)
            if handler is None:
                msg = f"a worker knows no request {request.kind!r}"
                raise ProtocolError(msg)
            body, arrays = handler(request)
            answer = Message(kind=request.kind, id=request.id, body=body, arrays=arrays)
            return encode(answer)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - each is an answer
            return encode(failure(request, error))

    def _hello(self, request: Message) -> Answer:
        if request.body.get("ranks"):
            self._crew = Crew(request.body)
            self._handlers |= self._crew.handlers
            return self._crew.greet(request.body), {}
        engine = self._engine = _engine(request.body["engine"])
        answer = {
            "protocol": PROTOCOL,
            "plugin": __version__,
            "python": platform.python_version(),
            "executable": sys.executable,
            "engine": {"name": request.body["name"], "version": engine.version()},
            "packages": engine.packages(),
            "pid": os.getpid(),
            "devices": cuda.devices_asked_for(),
            "clock_ns": time.monotonic_ns(),
        }
        return answer, {}

    def _context(self, _request: Message) -> Answer:
        return {"contexts": cuda.open_contexts()}, {}

    def _load(self, request: Message) -> Answer:
        loaded = self._ready().load(request.body["spec"])
        named = replace(loaded, devices=cuda.named(loaded.devices))
        return pack_loaded(named), {}

    def _tokenize(self, request: Message) -> Answer:
        return {}, pack_ragged("ids", self._ready().tokenize(request.body["texts"]))

    def _chat(self, request: Message) -> Answer:
        ids, digest = chatted(self._ready(), **request.body)
        return {"template_sha256": digest}, pack_ragged("ids", ids)

    def _detokenize(self, request: Message) -> Answer:
        ids = unpack_ragged("ids", request.arrays)
        return {"texts": self._ready().detokenize(ids)}, {}

    def _generate(self, request: Message) -> Answer:
        options = GenerateOptions.from_json(request.body["options"])
        if options.seed is not None:
            random.seed(options.seed)
        prompts = unpack_ragged("prompts", request.arrays)
        try:
            return pack_generation(self._measure(self._ready(), prompts, options))
        except _PassBroke as broke:
            body, arrays = pack_generation(broke.partial)
            told = failure(request, broke.error).body
            return {**body, "broken": told}, arrays

    def _count_flops(self, request: Message) -> Answer:
        engine, until_s = self._ready(), time.monotonic() + request.body["limit_s"]
        if not isinstance(engine, CountsFlops):
            return {"counted": None}, {}
        batches, options = _prepared(engine, request)
        counted = engine.count_flops(batches, options, until_s=until_s)
        return {"counted": dict(counted)}, {}

    def _profile(self, request: Message) -> Answer:
        engine = self._ready()
        if not isinstance(engine, Profiles):
            return {"profile": None}, {}
        batches, options = _prepared(engine, request)
        found = engine.profile(batches, options, Path(request.body["path"]))
        return {"profile": dict(found)}, {}

    def _log_probabilities(self, request: Message) -> Answer:
        engine, rows = self._ready(), unpack_ragged("rows", request.arrays)
        if not isinstance(engine, TellsLikelihood):
            return {"told": None}, {}
        return {"told": pack_logs(engine.log_probabilities(rows))}, {}

    def _unload(self, _request: Message) -> Answer:
        self._ready().unload()
        return {}, {}

    def _exit(self, _request: Message) -> Answer:
        if self._crew is not None:
            self._crew.close()
        return {}, {}

    def _measure(
        self, engine: Engine, prompts: list[list[int]], options: GenerateOptions
    ) -> Generation:
        """One pass; between the stamps there is the engine's own work only."""
        batches = engine.prepare(prompts, options)
        self._total = len(batches)
        outcomes: list[Any] = []
        spans: list[tuple[int, int]] = []
        clock_ns, run = time.monotonic_ns, engine.run
        engine.synchronize()
        if self._meet is not None:
            self._meet()
        start_ns = clock_ns()
        try:
            for batch in batches:
                sent_ns = clock_ns()
                outcomes.append(run(batch, options))
                spans.append((sent_ns, clock_ns()))
                self._done += 1
        except Exception as error:
            spans.append((sent_ns, clock_ns()))
            partial = _salvaged(engine, batches, outcomes, spans, options, error)
            if partial is None:
                raise
            raise _PassBroke(partial, error) from error
        engine.synchronize()
        end_ns = clock_ns()
        collected = engine.collect(batches, outcomes, spans, options)
        window = {"start_ns": start_ns, "end_ns": end_ns}
        if getattr(engine, "scripted", False):
            window |= {name: collected[name] for name in window}
        told = collected["completions"]
        if len(told) != len(prompts):
            count = f"{len(told)} completions for {len(prompts)}"
            msg = f"the engine returned {count} prompts"
            raise GenerationError(msg)
        done = [judged(one, options.of(k)) for k, one in enumerate(told)]
        return Generation(**{**collected, **window, "completions": done})

    def _ready(self) -> Engine:
        if self._engine is None:
            msg = "the worker was asked to work before it was told which engine it has"
            raise ProtocolError(msg)
        return self._engine

    def _enter(self, step: str) -> None:
        self._done = self._total = 0
        self._since = time.monotonic()
        self._step = step

    def _listen(self) -> None:
        while True:
            try:
                request = receive(self._reader)
            except ProtocolError as error:
                self._say(encode(failure(Message(kind="read"), error)))
                request = None
            if request is None:
                _end()
            else:
                self._requests.put(request)

    def _beat(self) -> None:
        while True:
            time.sleep(_BEAT_S)
            beat = Beat(
                step=self._step,
                elapsed_s=round(time.monotonic() - self._since, 3),
                done=self._done,
                total=self._total,
                rss_mb=_rss_mb(),
            )
            self._say(encode(Message(kind="heartbeat", body=beat.to_json())))

    def _say(self, frames: bytes) -> None:
        try:
            with self._writing:
                write(self._writer, frames)
        except BrokenPipeError:
            _end()


class _PassBroke(Exception):
    """A pass in which the engine failed, and what its requests had done."""

    def __init__(self, partial: Generation, error: Exception) -> None:
        super().__init__(str(error))
        self.partial = partial
        self.error = error


def _salvaged(
    engine: Engine,
    batches: Sequence[Any],
    outcomes: Sequence[Any],
    spans: Sequence[tuple[int, int]],
    options: GenerateOptions,
    error: Exception,
) -> Generation | None:
    """What was sent of a pass that broke off; None where nobody knows."""
    if not isinstance(engine, Salvages):
        return None
    try:
        done = engine.salvage(batches, outcomes, spans, options, first_line(error))
    except Exception as other:  # noqa: BLE001 - it is told beside the first one
        error.add_note(f"nothing is known of its requests: {first_line(other)}")
        return None
    if not done:
        return None
    return Generation(
        start_ns=spans[0][0],
        end_ns=max([spans[-1][1], *(one.ended_ns for one in done)]),
        completions=[judged(one, options.of(k)) for k, one in enumerate(done)],
        batches=[],
        padding_tokens=0,
        memory={},
        native={},
    )


def _engine(target: str) -> Engine:
    module, _, name = target.partition(":")
    try:
        engine: Engine = getattr(importlib.import_module(module), name)()
    except AttributeError as error:
        msg = f"no engine {target!r}: {error}"
        raise ConfigError(msg) from error
    return engine


def _prepared(engine: Engine, request: Message) -> tuple[list[Any], GenerateOptions]:
    options = GenerateOptions.from_json(request.body["options"])
    prompts = unpack_ragged("prompts", request.arrays)
    return engine.prepare(prompts, options), options


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * _PAGE_MB, 1)


def _end() -> None:
    os._exit(1)  # the guard ends what this process has started
