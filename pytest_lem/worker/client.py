"""The pytest side of the wall: asks a worker, waits with a limit, and ends it.

Every wait happens in the calling thread, so that an interrupt is felt at once.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from pytest_lem import __version__
from pytest_lem.engines import GenerateOptions, Generation, Loaded
from pytest_lem.errors import ConfigError, EngineNotAvailable, LemError, WorkerDied
from pytest_lem.worker.launch import process
from pytest_lem.worker.launch.interpreter import install_command
from pytest_lem.worker.launch.ranks import Ranks
from pytest_lem.worker.line import Limits, Line, OnBeat
from pytest_lem.worker.payload import (
    pack_ragged,
    unpack_generation,
    unpack_loaded,
    unpack_logs,
    unpack_ragged,
    unpack_work,
)
from pytest_lem.worker.protocol import PROTOCOL, Arrays, Message

__all__ = ["EngineClient", "Limits", "start_worker"]

_T = TypeVar("_T")

# A counter looks at the clock between forward calls; one of them may last so long.
ONE_CALL_S = 60.0
# A rank that is late is told by its worker, with its stacks, before that one is late.
RANKS_TELL_S = 20.0


class Containers(Protocol):
    """What starts workers in images."""

    def start(
        self, backend: str, *, environment: Mapping[str, str], log_path: Path
    ) -> process.WorkerProcess:
        """A worker in that backend's image, with these variables."""


class EngineClient:
    """An engine in a worker, from its start to the end of its whole process group.

    `place` tells of the container that it is in, if it is in one, and `inside` is the
    first process of that, by its number on this side.
    After any failure or interrupt it is not `usable` again: what an engine still
    holds then (stale requests, a broken device) would enter the next measurement.
    """

    def __init__(
        self,
        worker: process.WorkerProcess,
        *,
        name: str,
        limits: Limits,
        on_beat: OnBeat | None,
    ) -> None:
        self.name = name
        self.pid = worker.pid
        self.usable = True
        self.hello: dict[str, Any] = {}
        self.place: Mapping[str, Any] = worker.place
        self.inside: int | None = None
        self._worker = worker
        self._limits = limits
        self._line = Line(worker, name=name, limits=limits, on_beat=on_beat)
        self._loaded = False
        self._open = True
        self._net = weakref.finalize(self, worker.kill)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        """Close; what goes wrong then is added to an earlier error, else raised."""
        problem = self.close()
        if problem and error:
            error.add_note(problem)
        elif problem:
            raise WorkerDied(problem)

    def greet(self, target: str, ranks: Mapping[str, Any] | None = None) -> None:
        """Tell the worker which engine it has, and keep what it answers in `hello`.

        With `ranks` it starts these, and they have the engine. Raises ConfigError where
        its clock is not this one, on which meters and engines must meet.
        """
        body = {
            "protocol": PROTOCOL,
            "plugin": __version__,
            "engine": target,
            "name": self.name,
            "ranks": ranks,
        }
        limit_s = self._limits.start_s
        asked_ns = time.monotonic_ns()
        self.hello = self._ask("hello", body, limit_s=limit_s, read=_body)
        if not asked_ns <= self.hello["clock_ns"] <= time.monotonic_ns():
            msg = (
                f"the worker of {self.name} has another clock than this process: it "
                "must run under the same kernel, in no machine of its own"
            )
            raise ConfigError(msg)
        self.inside = self._worker.first_inside()

    def open_contexts(self) -> int:
        """Open a CUDA context on each GPU of the worker, which its engine will share.

        How many were opened: 0 on a worker without CUDA.
        """
        return self._ask(
            "context",
            {},
            limit_s=self._limits.start_s,
            read=lambda answer: int(answer.body["contexts"]),
        )

    def load(self, spec: Mapping[str, Any]) -> Loaded:
        """Load the model that the spec names."""
        self._loaded = True
        body = {"spec": dict(spec)}
        return self._ask(
            "load",
            body,
            limit_s=self._limits.load_s,
            read=lambda answer: unpack_loaded(answer.body),
        )

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts, as the engine itself would make them."""
        return self._ask(
            "tokenize",
            {"texts": list(texts)},
            limit_s=self._limits.tokenize_s,
            read=lambda answer: unpack_ragged("ids", answer.arrays),
        )

    def chat(
        self, texts: Sequence[str], template: str | None
    ) -> tuple[list[list[int]], str]:
        """Token ids of texts as turns of a user, and the SHA-256 of the template.

        The template is the tokenizer's own where none is given.
        """
        return self._ask(
            "chat",
            {"texts": list(texts), "template": template},
            limit_s=self._limits.tokenize_s,
            read=lambda told: (
                unpack_ragged("ids", told.arrays),
                str(told.body["template_sha256"]),
            ),
        )

    def detokenize(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Texts of token ids, special tokens left out."""
        return self._ask(
            "detokenize",
            {},
            pack_ragged("ids", ids),
            limit_s=self._limits.tokenize_s,
            read=lambda answer: list(answer.body["texts"]),
        )

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        options: GenerateOptions,
        *,
        broke: Callable[[Generation], None] | None = None,
    ) -> Generation:
        """One pass over prompts of token ids.

        Where the engine fails in it, and tells what its requests had done until then,
        `broke` is given that before the error is raised.
        """

        def read(answer: Message) -> Generation:
            told = answer.body.pop("broken", None)
            generation = unpack_generation(answer.body, answer.arrays)
            if told is None:
                return generation
            if broke is not None:
                broke(generation)
            raise self._line.told("generate", told)

        return self._ask(
            "generate",
            {"options": options.to_json()},
            pack_ragged("prompts", prompts),
            limit_s=self._limits.generate_s,
            read=read,
        )

    def count_flops(
        self,
        prompts: Sequence[Sequence[int]],
        options: GenerateOptions,
        *,
        limit_s: float,
    ) -> dict[str, Any] | None:
        """What the engine's own counter says of a pass; None where it has none.

        Raises Timeout where that takes longer than `limit_s`.
        """
        body = {"options": options.to_json(), "limit_s": limit_s}
        counted: dict[str, Any] | None = self._ask(
            "count_flops",
            body,
            pack_ragged("prompts", prompts),
            limit_s=limit_s + self._limits.grace_s + ONE_CALL_S,
            read=lambda answer: answer.body["counted"],
        )
        if counted is not None:
            counted["work"] = unpack_work(counted["work"])
        return counted

    def profile(
        self, prompts: Sequence[Sequence[int]], options: GenerateOptions, path: Path
    ) -> dict[str, Any] | None:
        """Have the engine write its own profile of a pass; None where it has none."""
        found: dict[str, Any] | None = self._ask(
            "profile",
            {"options": options.to_json(), "path": str(path)},
            pack_ragged("prompts", prompts),
            limit_s=self._limits.generate_s,
            read=lambda answer: answer.body["profile"],
        )
        return found

    def log_probabilities(
        self, rows: Sequence[Sequence[int]]
    ) -> list[list[float]] | None:
        """How likely the engine holds each token of rows; None where it does not tell.

        Of each row there is one less than it has tokens.
        """
        told: list[list[float | None]] | None = self._ask(
            "log_probabilities",
            {},
            pack_ragged("rows", rows),
            limit_s=self._limits.generate_s,
            read=lambda answer: answer.body["told"],
        )
        return None if told is None else unpack_logs(told)

    def unload(self) -> None:
        """Give the model and its memory back; the worker stays."""
        self._loaded = False
        self._ask("unload", {}, limit_s=self._limits.unload_s, read=_body)

    def close(self, unloaded: Callable[[], str | None] = lambda: None) -> str | None:
        """Unload, let the worker exit, and end its group; None, or what went wrong.

        It raises no failure of the engine, so that it hides no earlier one; a worker
        that is not usable is ended without more ado. `unloaded` is called once the
        engine is unloaded, while its process lives, and tells what is wrong with that.
        """
        if not self._open:
            return None
        try:
            problem = self._leave(unloaded) if self.usable else None
            self.usable = False
            left = self._worker.end(self._limits.grace_s)
        except BaseException:
            self.kill()
            raise
        self._shut(ended=left is None)
        return "; ".join(filter(None, (problem, left))) or None

    def kill(self) -> str | None:
        """Kill the worker's whole group at once; None, or one line on what stays."""
        self.usable = False
        left = self._worker.kill()
        if self._open:
            self._shut(ended=left is None)
        return left

    def _leave(self, unloaded: Callable[[], str | None]) -> str | None:
        problem = None
        try:
            if self._loaded:
                self.unload()
                problem = unloaded()
            self._ask("exit", {}, limit_s=self._limits.unload_s, read=_body)
            self._worker.wait(self._limits.grace_s)
        except LemError as error:
            problem = "; ".join(filter(None, (problem, error.message)))
        return problem

    def _shut(self, *, ended: bool) -> None:
        self._open = False
        self._net.detach()
        if ended:
            self._line.hang_up()

    def _ask(
        self,
        step: str,
        body: dict[str, Any],
        arrays: Arrays | None = None,
        *,
        limit_s: float,
        read: Callable[[Message], _T],
    ) -> _T:
        if not self.usable:
            msg = f"the engine {self.name} is not used again after a failure or close"
            raise WorkerDied(msg)
        try:
            return read(self._line.ask(step, body, arrays or {}, limit_s=limit_s))
        except BaseException:
            self.usable = False
            raise


def start_worker(
    target: str,
    *,
    name: str,
    python: str,
    environment: Mapping[str, str],
    log_path: Path,
    limits: Limits,
    on_beat: OnBeat | None = None,
    ranks: Ranks | None = None,
    containers: Containers | None = None,
) -> EngineClient:
    """A worker with the engine `module:Class`, imported there and not yet loaded.

    `name` is the backend as errors tell it; `environment` is added to this process's
    own; what the worker prints goes to `log_path`. `on_beat` hears, at most twice a
    second, how far it is. With `ranks` the engine is in as many processes of their own
    environments, which answer as one. With `containers` it is in that of its backend,
    whatever `python` is. Nothing is left running where the start fails.
    """
    if containers is None:
        worker = process.start(
            python=python, environment=environment, log_path=log_path
        )
    else:
        worker = containers.start(name, environment=environment, log_path=log_path)
    told = None
    if ranks is not None:
        told = _told(ranks, log_path, limits)
        limits = limits.later(RANKS_TELL_S)
    client = EngineClient(worker, name=name, limits=limits, on_beat=on_beat)
    try:
        client.greet(target, told)
    except WorkerDied as error:
        client.kill()
        if "No module named 'pytest_lem" not in error.detail:
            raise
        msg = (
            f"{python} has no pytest-lem, which must be beside the engine {name}: "
            f"{install_command(python)}"
        )
        raise EngineNotAvailable(msg, detail=error.detail) from error
    except BaseException:
        client.kill()
        raise
    return client


def _told(ranks: Ranks, log_path: Path, limits: Limits) -> dict[str, Any]:
    """What a worker needs to start ranks; their logs lie beside its own."""
    return {
        "kind": ranks.kind,
        "environments": [dict(one) for one in ranks.environments],
        "log": str(log_path),
        "limits": asdict(limits),
    }


def _body(answer: Message) -> dict[str, Any]:
    return answer.body
