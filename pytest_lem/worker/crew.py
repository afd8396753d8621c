"""Several processes of one engine behind one worker, which has no engine of its own.

The worker hands each request to its ranks, over pipes like its own, and answers once
for all. It never waits inside an engine, so it can tell which rank was lost while the
others still hang in a collective call. Standard library only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pytest_lem.engines import GenerateOptions
from pytest_lem.errors import WorkerDied
from pytest_lem.worker import aggregate
from pytest_lem.worker.client import EngineClient
from pytest_lem.worker.launch import process
from pytest_lem.worker.line import Limits
from pytest_lem.worker.meeting import Meeting
from pytest_lem.worker.payload import (
    pack_generation,
    pack_loaded,
    pack_logs,
    pack_ragged,
    unpack_ragged,
)
from pytest_lem.worker.protocol import Arrays, Message

_T = TypeVar("_T")
_NOTICED_S = 1.0

Answer = tuple[dict[str, Any], Arrays]
Share = tuple[Sequence[Sequence[int]], GenerateOptions]


class Crew:
    """The ranks of one engine: started, asked and ended together.

    They live below the worker's guard, which ends them with the worker. After a failure
    of one rank the others are left where they are, for that end.
    """

    def __init__(self, hello: Mapping[str, Any]) -> None:
        told = hello["ranks"]
        self._kind: str = told["kind"]
        self._count = len(told["environments"])
        self._log = Path(told["log"])
        self._store = self._log.with_suffix(".store")
        self._meeting = Meeting(self._count)
        self._threads = ThreadPoolExecutor(self._count + 1)
        limits = Limits(**told["limits"])
        self._ranks = [
            EngineClient(
                self._start(rank, environment),
                name=f"rank {rank}",
                limits=limits,
                on_beat=None,
            )
            for rank, environment in enumerate(told["environments"])
        ]
        self._meeting.open()
        self.handlers: dict[str, Callable[[Message], Answer]] = {
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
        }

    def greet(self, hello: Mapping[str, Any]) -> dict[str, Any]:
        """What the first rank says of itself, and the devices and numbers of all."""
        self._each(lambda rank: rank.greet(hello["engine"]))
        first, *_ = said = [rank.hello for rank in self._ranks]
        return {
            **first,
            "engine": {**first["engine"], "name": hello["name"]},
            "devices": [device for one in said for device in one["devices"]],
            "pid": os.getpid(),
            "ranks": [one["pid"] for one in said],
        }

    def close(self) -> None:
        """Let every rank exit; raises WorkerDied with what went wrong."""
        problems = self._each(EngineClient.close)
        self._store.unlink(missing_ok=True)
        if told := "; ".join(filter(None, problems)):
            raise WorkerDied(told)

    def _start(
        self, rank: int, environment: Mapping[str, str]
    ) -> process.WorkerProcess:
        log = self._log
        return process.start(
            python=sys.executable,
            environment=environment,
            log_path=log.with_name(f"{log.stem}-rank{rank}{log.suffix}"),
            meeting=self._meeting.guests[rank].fileno(),
        )

    def _context(self, _request: Message) -> Answer:
        return {"contexts": sum(self._each(EngineClient.open_contexts))}, {}

    def _load(self, request: Message) -> Answer:
        spec = request.body["spec"]
        gpus = spec.get("gpus_expected", 0)
        self._store.unlink(missing_ok=True)
        own = {"kind": self._kind, "world_size": self._count, "store": str(self._store)}
        calls = [
            partial(
                rank.load,
                {**spec, "gpus_expected": min(gpus, 1), "rank": {**own, "rank": place}},
            )
            for place, rank in enumerate(self._ranks)
        ]
        loaded = aggregate.one_load(self._kind, self._all(calls), gpus=gpus)
        return pack_loaded(loaded), {}

    def _tokenize(self, request: Message) -> Answer:
        ids = self._ranks[0].tokenize(request.body["texts"])
        return {}, pack_ragged("ids", ids)

    def _chat(self, request: Message) -> Answer:
        ids, digest = self._ranks[0].chat(**request.body)
        return {"template_sha256": digest}, pack_ragged("ids", ids)

    def _detokenize(self, request: Message) -> Answer:
        ids = unpack_ragged("ids", request.arrays)
        return {"texts": self._ranks[0].detokenize(ids)}, {}

    def _generate(self, request: Message) -> Answer:
        """One pass: the ranks that have requests meet, and then start."""
        shares = self._shares(request)
        held = self._threads.submit(self._meeting.hold, list(shares))
        parts = self._all(
            [partial(self._ranks[rank].generate, *shares[rank]) for rank in shares]
        )
        held.result()
        done = dict(zip(shares, parts, strict=True))
        if self._kind == "copies":
            return pack_generation(aggregate.of_copies(done, ranks=self._count))
        return pack_generation(aggregate.of_shards(done))

    def _count_flops(self, request: Message) -> Answer:
        """Copies count their shares; of shards a counter would see only parts."""
        if self._kind != "copies":
            return {"counted": None}, {}
        limit_s = request.body["limit_s"]
        counted = self._all(
            [
                partial(self._ranks[rank].count_flops, *share, limit_s=limit_s)
                for rank, share in self._shares(request).items()
            ]
        )
        known = [one for one in counted if one is not None]
        whole = aggregate.one_count(known) if len(known) == len(counted) else None
        return {"counted": whole}, {}

    def _profile(self, request: Message) -> Answer:
        """Each rank writes a file of its own; what the first one found is told."""
        path = Path(request.body["path"])
        found = self._all(
            [
                partial(self._ranks[rank].profile, *share, _beside(path, rank))
                for rank, share in self._shares(request).items()
            ]
        )
        return {"profile": found[0]}, {}

    def _log_probabilities(self, request: Message) -> Answer:
        """Of shards all compute it; copies hold the same, so that one is asked."""
        rows = unpack_ragged("rows", request.arrays)
        asked = self._ranks[:1] if self._kind == "copies" else self._ranks
        told, *_ = self._all([partial(one.log_probabilities, rows) for one in asked])
        return {"told": None if told is None else pack_logs(told)}, {}

    def _unload(self, _request: Message) -> Answer:
        self._each(EngineClient.unload)
        return {}, {}

    def _shares(self, request: Message) -> dict[int, Share]:
        """What each rank is to do, by rank; copies without requests are left out.

        Copies draw with seeds of their own, or each would draw the same.
        """
        prompts = unpack_ragged("prompts", request.arrays)
        options = GenerateOptions.from_json(request.body["options"])
        if self._kind != "copies":
            return dict.fromkeys(range(self._count), (prompts, options))
        return {
            rank: (share, _of_rank(options, rank, self._count))
            for rank, share in enumerate(aggregate.dealt(prompts, self._count))
            if share
        }

    def _each(self, call: Callable[[EngineClient], _T]) -> list[_T]:
        return self._all([partial(call, rank) for rank in self._ranks])

    def _all(self, calls: Sequence[Callable[[], _T]]) -> list[_T]:
        """All calls at once; raises a failure, that of a lost rank before others.

        Who works together with a lost rank fails as well, or hangs: what came of the
        others is not waited for.
        """
        futures = [self._threads.submit(call) for call in calls]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        if any(one.exception() for one in done):
            done, _ = wait(futures, timeout=_NOTICED_S)
        told = [one.exception() for one in futures if one in done]
        errors = [error for error in told if error is not None]
        if errors:
            raise min(errors, key=lambda error: not isinstance(error, WorkerDied))
        return [one.result() for one in futures]


def _of_rank(options: GenerateOptions, rank: int, ranks: int) -> GenerateOptions:
    """With the limits of its prompts, as they are dealt, and a seed of its own."""
    seed, limits = options.seed, options.output_limits
    return replace(
        options,
        seed=None if seed is None else seed + rank,
        output_limits=limits[rank::ranks],
    )


def _beside(path: Path, rank: int) -> Path:
    """The path itself for the first rank."""
    return path.with_name(f"{path.stem}-rank{rank}{path.suffix}") if rank else path
