"""An engine that follows a script: exact times, exact counts, failures on demand."""

from __future__ import annotations

import ctypes
import heapq
import math
import os
import platform
import queue
import signal
import subprocess
import sys
import time
import zlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from pytest_lem.engines import Completion, GenerateOptions, Loaded
from pytest_lem.engines.dispatch import Dispatch
from pytest_lem.engines.faults import (
    BROKEN,
    Course,
    Fault,
    fault_of,
    until_broken,
    with_fault,
)
from pytest_lem.errors import ConfigError, GenerationError, from_kind

Step = Literal["load", "generate", "tell", "unload"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What the engine does; the section `engine` of its spec.

    A run (one batch) takes `prefill_s` to the first token and `token_s` for each
    further one, plus the entry of `jitter_s` whose turn it is; the first runs take
    the durations of `latency_script_s` instead. Where requests are paced, each is a
    run, begins when one of `batch_size` places is free, and ends as the script says.
    `fail_at`, `hang_at` and `die_at` name a step (`load`, `generate`, `tell` how likely
    tokens are, `unload`) that raises an error of `fail_kind`, never returns
    (`hang_how`: `sleep`, `busy`, or `gil`, holding the interpreter's lock in C), or
    kills the worker; for `generate`, after `good_passes` passes.
    `faults` says of each request of a pass in turn what happens after half of its
    tokens: `none`, `stall` until one of its limits, `error`, `stop`, `cancel`, or
    `break`, with which the whole engine fails.
    `prefix_caching` is what it says of itself; it caches nothing. `perplexity` is that
    of any text.
    """

    load_s: float = 0.0
    prefill_s: float = 0.01
    token_s: float = 0.001
    jitter_s: Sequence[float] = ()
    latency_script_s: Sequence[float] = ()
    fail_at: Step | None = None
    fail_kind: str = "generation"
    hang_at: Step | None = None
    hang_how: Literal["sleep", "busy", "gil"] = "sleep"
    die_at: Step | None = None
    good_passes: int = 0
    faults: Sequence[Fault] = ()
    spawn_child: bool = False
    print_noise: bool = False
    prefix_caching: Literal["on", "emptied", "off"] = "off"
    perplexity: float = 256.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    prompts: list[list[int]]
    output_ids: list[list[int]]
    padding_tokens: int
    first: int = 0


class FakeEngine:
    """Sleeps until the instants of its script and reports exactly those instants.

    `scripted` tells the worker to take the window's ends from it as well, so that
    every duration is the script's, however late the sleep was.
    """

    scripted = True

    def __init__(self) -> None:
        self._script = Script()
        self._passes = 0
        self._runs = 0
        self._instant_ns: int | None = None
        self._due_ns: list[int] = []
        self._broken: list[Course] = []

    def version(self) -> str:
        """The version of the script's language."""
        return "1"

    def packages(self) -> dict[str, str]:
        """Python alone."""
        return {"python": platform.python_version()}

    def load(self, spec: Mapping[str, Any]) -> Loaded:
        """Take the script, and as long as it says; ConfigError for unknown options."""
        self._script = script = _parse(spec.get("engine") or {})
        if script.spawn_child:
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        if script.print_noise:
            _print_noise()
        self._misbehave("load")
        time.sleep(script.load_s)
        return Loaded(
            duration_s=script.load_s,
            effective={f.name: getattr(script, f.name) for f in fields(script)},
            model={
                "name": spec.get("model"),
                "architecture": "fake",
                "vocab_size": 256,
                "reserved_ids": [],
            },
            memory={"model_mb": None, "load_peak_mb": None},
            devices=["cpu"],
            flags=["fake_engine"],
        )

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """One token for each byte."""
        return [list(text.encode()) for text in texts]

    def detokenize(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """The bytes as text."""
        return [bytes(i % 256 for i in row).decode(errors="replace") for row in ids]

    def prepare(
        self, prompts: Sequence[Sequence[int]], options: GenerateOptions
    ) -> list[_Batch]:
        """Batches of `batch_size` in the prompts' order, padded to the longest.

        Where requests are paced there are no batches, and no pads.
        """
        self._instant_ns = None
        rows = [list(prompt) for prompt in prompts]
        ids = [_output_ids(row, options.of(k)) for k, row in enumerate(rows)]
        if options.paced:
            return [_Batch(prompts=rows, output_ids=ids, padding_tokens=0)]
        size = options.batch_size
        return [
            _batch(rows[start : start + size], ids[start : start + size], start)
            for start in range(0, len(rows), size)
        ]

    def synchronize(self) -> None:
        """There is no device."""

    def run(self, batch: _Batch, options: GenerateOptions) -> list[Course]:
        """Wait until the script says that the batch is done, or each request is."""
        if self._script.print_noise:
            _print_noise()
        self._misbehave("generate")
        done = self._served(batch, options)
        self._broken = until_broken(done)
        if self._broken:
            raise GenerationError(BROKEN)
        return done

    def _served(self, batch: _Batch, options: GenerateOptions) -> list[Course]:
        if options.due_ns:
            return self._as_due(batch, options)
        if options.concurrency is not None:
            return self._as_others_end(batch, options)
        start_ns = self._instant_ns or time.monotonic_ns()
        longest = max(map(len, batch.output_ids))
        whole = self._one(start_ns, start_ns, longest)
        done = [
            self._ended(_upto(whole, len(ids)), place, options)
            for place, ids in enumerate(batch.output_ids, batch.first)
        ]
        self._instant_ns = max(one.end_ns for one in done)
        _sleep_until(self._instant_ns)
        return done

    def collect(
        self,
        batches: Sequence[_Batch],
        outcomes: Sequence[list[Course]],
        spans: Sequence[tuple[int, int]],
        options: GenerateOptions,
    ) -> Mapping[str, Any]:
        """Completions with the script's instants, and the window they span."""
        self._passes += 1
        completions = [
            Completion(
                input_tokens=len(prompt),
                output_ids=ids[: len(one.token_ns)],
                finish_reason="length" if len(one.token_ns) == len(ids) else "stop",
                sent_ns=one.sent_ns,
                ended_ns=one.end_ns,
                token_ns=list(one.token_ns) if options.stamps else [],
                outcome=one.outcome,
                error=one.error,
            )
            for batch, done in zip(batches, outcomes, strict=True)
            for prompt, ids, one in zip(
                batch.prompts, batch.output_ids, done, strict=True
            )
        ]
        start_ns, end_ns = spans[0][0], spans[-1][1]
        first_ns = min(one.sent_ns for one in completions)
        return {
            "start_ns": self._due_ns[0] if options.due_ns else first_ns,
            "end_ns": max(one.ended_ns for one in completions),
            "completions": completions,
            "batches": [len(batch.prompts) for batch in batches],
            "padding_tokens": sum(batch.padding_tokens for batch in batches),
            "memory": {"inference_peak_mb": None},
            "native": {
                "passes": self._passes,
                "slept_ns": end_ns - start_ns,
                "at_once": options.batch_size,
            },
            "due_ns": self._due_ns if options.due_ns else [],
        }

    def salvage(
        self,
        batches: Sequence[_Batch],
        outcomes: Sequence[list[Course]],
        spans: Sequence[tuple[int, int]],
        options: GenerateOptions,
        error: str,  # noqa: ARG002 - the script has it
    ) -> list[Completion]:
        """Requests up to the one that broke the engine; none where no request did."""
        last, sent = batches[len(outcomes)], len(self._broken)
        if not sent:
            return []
        part = replace(
            last, prompts=last.prompts[:sent], output_ids=last.output_ids[:sent]
        )
        there = [*batches[: len(outcomes)], part]
        told = self.collect(there, [*outcomes, self._broken], spans, options)
        return list(told["completions"])

    def log_probabilities(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """All tokens are as likely as the script's perplexity makes them."""
        self._misbehave("tell")
        return [[-math.log(self._script.perplexity)] * (len(row) - 1) for row in rows]

    def unload(self) -> None:
        """Forget the script, unless it misbehaves here."""
        self._misbehave("unload")
        self._script = Script()

    def _as_due(self, batch: _Batch, options: GenerateOptions) -> list[Course]:
        """Requests sent at their times; each takes the first place that frees."""
        sent: queue.SimpleQueue[int] = queue.SimpleQueue()
        free_ns = [0] * options.batch_size
        done = []
        with Dispatch(
            options.due_ns, lambda _place: sent.put(time.monotonic_ns())
        ) as dispatch:
            for place, ids in enumerate(batch.output_ids):
                sent_ns = sent.get()
                start_ns = max(sent_ns, heapq.heappop(free_ns))
                one = self._one(sent_ns, start_ns, len(ids))
                done.append(self._ended(one, place, options))
                heapq.heappush(free_ns, done[-1].end_ns)
        self._due_ns = dispatch.due_ns
        _sleep_until(max(free_ns))
        return done

    def _as_others_end(self, batch: _Batch, options: GenerateOptions) -> list[Course]:
        """Each client sends its next request in the instant in which one ends."""
        start_ns = time.monotonic_ns()
        clients_ns = [start_ns] * (options.concurrency or len(batch.prompts))
        free_ns = [start_ns] * options.batch_size
        done = []
        for place, ids in enumerate(batch.output_ids):
            sent_ns = heapq.heappop(clients_ns)
            at_ns = max(sent_ns, heapq.heappop(free_ns))
            one = self._one(sent_ns, at_ns, len(ids))
            done.append(self._ended(one, place, options))
            heapq.heappush(clients_ns, done[-1].end_ns)
            heapq.heappush(free_ns, done[-1].end_ns)
        _sleep_until(max(free_ns))
        return done

    def _ended(self, whole: Course, place: int, options: GenerateOptions) -> Course:
        """The course of a request with its fault; never, where nothing ends it."""
        fault = fault_of(self._script.faults, place)
        ended = with_fault(whole, fault, options)
        if ended is None:
            _hang("sleep")
        assert ended is not None
        return ended

    def _one(self, sent_ns: int, start_ns: int, tokens: int) -> Course:
        """A run of the script; what it waits for is in none of its own times."""
        steps_ns, total_ns = self._times_ns(tokens)
        self._runs += 1
        return Course(
            sent_ns=sent_ns,
            end_ns=start_ns + total_ns,
            token_ns=[start_ns + step for step in steps_ns],
        )

    def _times_ns(self, tokens: int) -> tuple[list[int], int]:
        """Nanoseconds from a run's start to each of its tokens, and to its end."""
        script, turn = self._script, self._runs
        steps_s = [script.prefill_s + script.token_s * i for i in range(tokens)]
        natural_s = total_s = steps_s[-1] if steps_s else script.prefill_s
        if script.jitter_s:
            total_s += script.jitter_s[turn % len(script.jitter_s)]
        if turn < len(script.latency_script_s):
            total_s = script.latency_script_s[turn]
        if not natural_s:
            steps_s, natural_s = [i + 1 for i in range(tokens)], tokens or 1
        return [_ns(s * total_s / natural_s) for s in steps_s], _ns(total_s)

    def _misbehave(self, step: Step) -> None:
        script = self._script
        if step == "generate" and self._passes < script.good_passes:
            return
        if script.die_at == step:
            os.kill(os.getpid(), signal.SIGKILL)
        if script.hang_at == step:
            _hang(script.hang_how)
        if script.fail_at == step:
            raise from_kind(script.fail_kind, f"the script fails at {step}")


def _parse(options: Mapping[str, Any]) -> Script:
    known = [field.name for field in fields(Script)]
    if unknown := sorted(set(options) - set(known)):
        msg = f"the fake engine has no option {unknown[0]!r}; it has {', '.join(known)}"
        raise ConfigError(msg)
    for name in ("fail_at", "hang_at", "die_at"):
        if options.get(name) not in (None, *get_args(Step)):
            msg = f"the fake engine's {name} is {options[name]!r}, not one of its steps"
            raise ConfigError(msg)
    for fault in options.get("faults", ()):
        if fault not in get_args(Fault):
            msg = f"the fake engine's faults have {fault!r}, not one of its faults"
            raise ConfigError(msg)
    return Script(**options)


def _sleep_until(at_ns: int) -> None:
    time.sleep(max(0, at_ns - time.monotonic_ns()) / 1e9)


def _ns(duration_s: float) -> int:
    return round(duration_s * 1e9)


def _upto(one: Course, tokens: int) -> Course:
    """A row of a batch, which has so many tokens and ends with the longest."""
    return replace(one, token_ns=one.token_ns[:tokens])


def _batch(prompts: list[list[int]], output_ids: list[list[int]], first: int) -> _Batch:
    """Rows as long as the longest, before and after their prompts' ends."""
    return _Batch(
        prompts=prompts,
        output_ids=output_ids,
        padding_tokens=sum(
            len(rows) * max(map(len, rows)) - sum(map(len, rows))
            for rows in (prompts, output_ids)
        ),
        first=first,
    )


def _output_ids(prompt: list[int], options: GenerateOptions) -> list[int]:
    """Small letters, told by the prompt and the seed alone."""
    state = zlib.crc32(array("q", [options.seed or 0, *prompt]).tobytes())
    ids = []
    for _ in range(options.output_tokens):
        state = (state * 1664525 + 1013904223) % 2**32
        ids.append(ord("a") + (state >> 16) % 26)
    return ids


def _hang(how: str) -> None:
    if how == "gil":
        ctypes.PyDLL(None).sleep(3600)
    while True:
        if how == "sleep":
            time.sleep(3600)


def _print_noise() -> None:
    sys.stdout.write("noise from Python\n")
    os.write(1, b"\x00\x00\x00\x05noise from C\xff\n")
