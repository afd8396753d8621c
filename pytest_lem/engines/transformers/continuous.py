"""Continuous batching: requests join the running batch as others end.

The steps of `generate_batch`, taken apart: the manager, its cache and its graphs are
made before a window, and only requests are worked off within it.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from transformers import CompileConfig, ContinuousBatchingConfig, GenerationConfig

from pytest_lem.engines import Completion, GenerateOptions
from pytest_lem.engines.clients import Clients
from pytest_lem.engines.contract import check_count
from pytest_lem.errors import ConfigError, GenerationError

_FIELDS = {field.name for field in dataclasses.fields(ContinuousBatchingConfig)}
_NAMES = itertools.count()
_COMPILE = ("varlen_compile_config", "decode_compile_config")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """Requests that are handed over at once, with their places in the pass."""

    prompts: list[list[int]]
    places: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """What came of a flight: of each request, and its own span if it was paced."""

    results: list[Any]
    spans: list[tuple[int, int]] = field(default_factory=list)
    due_ns: list[int] = field(default_factory=list)


class Continuous:
    """One model's manager of continuous batching, and what was asked of it.

    A manager that shares pages is made anew for each pass, so that no pass finds the
    pages of an earlier one; another is kept while nothing changes.
    """

    def __init__(self, model: Any, asked: Mapping[str, Any], *, strict: bool) -> None:
        self._model = model
        self._strict = strict
        self._flags: list[str] = []
        self._asked = {key: one for key, one in asked.items() if key != "enabled"}
        self._manager: Any = None
        self._made_for: tuple[str, int] | None = None
        self._attention: str | None = None

    def prepare(
        self,
        prompts: Sequence[Sequence[int]],
        options: GenerateOptions,
        generation: GenerationConfig,
        ends: Sequence[int],
    ) -> list[Flight]:
        """All prompts in one flight; one by one where `batch_size` is 1.

        But for requests that are paced, which have times of their own.
        """
        if options.forced:
            ends = []
        # No processor for a least length runs here; without end tokens it is the limit.
        generation.update(min_new_tokens=None, eos_token_id=list(ends) or -1)
        self._ready(generation, options.batch_size)
        size = len(prompts) if options.batch_size > 1 or options.paced else 1
        rows = [list(prompt) for prompt in prompts]
        return [
            Flight(
                prompts=rows[first : first + size],
                places=list(range(first, min(first + size, len(rows)))),
            )
            for first in range(0, len(rows), size)
        ]

    def run(self, flight: Flight, options: GenerateOptions) -> Landed:
        """Work the requests off; what came of each, in their order.

        Raises GenerationError where the library's loop ends early.
        """
        if options.paced:
            return self._paced(flight, options)
        names = self._added(flight, options)
        done: dict[str, Any] = {}
        while len(done) < len(names):
            if (result := self._result()) is not None:
                done[result.request_id] = result
        return Landed(results=[done[name] for name in names])

    def _paced(self, flight: Flight, options: GenerateOptions) -> Landed:
        """Hand each request over when it is sent, and hear of each end at once."""
        places: dict[str, int] = {}

        def send(place: int) -> None:
            name = f"lem-{next(_NAMES)}"
            places[name] = place
            taken = self._manager.add_request(
                flight.prompts[place],
                request_id=name,
                max_new_tokens=options.of(flight.places[place]).output_tokens,
                record_timestamps=options.stamps,
            )
            if taken is None:
                raise GenerationError("continuous batching takes no more requests")

        done: dict[int, tuple[Any, int]] = {}
        with Clients(len(flight.prompts), options, send) as clients:
            while len(done) < len(flight.prompts):
                clients.check()
                if (result := self._result()) is not None:
                    done[places[result.request_id]] = (result, time.monotonic_ns())
                    clients.ended()
        ends = [done[place] for place in range(len(done))]
        return Landed(
            results=[result for result, _ in ends],
            spans=[
                (sent_ns, ended_ns)
                for sent_ns, (_, ended_ns) in zip(clients.sent_ns, ends, strict=True)
            ],
            due_ns=clients.due_ns,
        )

    def _result(self) -> Any:
        """The next request that has ended; None if none has for a while."""
        result = self._manager.get_result(timeout=1)
        if result is None:
            self._check_alive()
        return result if result is not None and result.is_finished() else None

    def collect(
        self,
        flights: Sequence[Flight],
        outcomes: Sequence[Landed],
        spans: Sequence[tuple[int, int]],
        options: GenerateOptions,
    ) -> dict[str, Any]:
        """Completions and what the manager says of itself; nothing is padded.

        Requests of one flight share its span, unless they are paced; their stamps are
        the engine's own.
        """
        completions = [
            _completion(prompt, result, own, options.of(place))
            for flight, landed, span in zip(flights, outcomes, spans, strict=True)
            for prompt, place, result, own in zip(
                flight.prompts,
                flight.places,
                landed.results,
                landed.spans or [span] * len(flight.prompts),
                strict=True,
            )
        ]
        results = [one for landed in outcomes for one in landed.results]
        told = self._told()
        return {
            "completions": completions,
            "batches": [len(flight.prompts) for flight in flights],
            "padding_tokens": 0,
            "work": None,
            "due_ns": [at_ns for landed in outcomes for at_ns in landed.due_ns],
            "native": {
                "continuous_batching": told,
                "at_once": told["max_requests_per_batch"],
                "request_times_ms": {"queue": [_waited_ms(one) for one in results]},
                "flags": self._flags,
            },
        }

    def _added(self, flight: Flight, options: GenerateOptions) -> list[str]:
        """Hand the requests over, one by one where each has a limit of its own."""
        stamps = options.stamps
        if options.output_limits:
            return [
                self._manager.add_request(
                    prompt,
                    max_new_tokens=options.of(place).output_tokens,
                    record_timestamps=stamps,
                )
                for prompt, place in zip(flight.prompts, flight.places, strict=True)
            ]
        names: list[str] = self._manager.add_requests(
            flight.prompts,
            max_new_tokens=options.output_tokens,
            record_timestamps=stamps,
        )
        return names

    def close(self) -> None:
        """Stop the library's loop and give its cache back."""
        manager, self._manager = self._manager, None
        if manager is not None:
            manager.stop(block=True)
            manager.destroy()

    def _ready(self, generation: GenerationConfig, size: int) -> None:
        made_for = (generation.to_json_string(use_diff=False), size)
        kept = self._manager is not None and made_for == self._made_for
        if kept and not self._manager.continuous_batching_config.allow_block_sharing:
            return
        self.close()
        self._refuse_processors(generation)
        self._manager = self._model.init_continuous_batching(
            generation_config=generation,
            continuous_batching_config=self._config(size),
        )
        self._flags = self._otherwise()
        self._made_for = made_for
        self._attention = self._model.config._attn_implementation
        self._manager.warmup()
        self._manager.start()

    def _config(self, size: int) -> ContinuousBatchingConfig:
        """As asked; the number of requests is the batch's, attention stays."""
        wanted = {"max_requests_per_batch": size, **self._asked}
        if "page_size" in wanted and "page_size" not in _FIELDS:
            wanted["block_size"] = wanted.pop("page_size")
        for key in _COMPILE:
            if key in wanted:
                wanted[key] = CompileConfig(**wanted[key])
        if unknown := sorted({*wanted} - _FIELDS):
            msg = (
                f"transformers {transformers.__version__} has no "
                f"continuous_batching.{unknown[0]}"
            )
            raise ConfigError(msg)
        own = {"auto_switch_to_flash": False, "drop_unsupported_processors": False}
        own = {key: value for key, value in own.items() if key in _FIELDS}
        return ContinuousBatchingConfig(**{**own, **wanted})

    def _refuse_processors(self, generation: GenerationConfig) -> None:
        """Refuse options of the decoder that the library would get wrong here."""
        for processor in self._model._get_logits_processor(generation):
            if getattr(processor, "supports_continuous_batching", None) is not True:
                msg = (
                    f"{type(processor).__name__} does not work with continuous "
                    "batching: leave out the decoder's option that needs it"
                )
                raise ConfigError(msg)

    def _check_alive(self) -> None:
        fatal = self._manager.background_thread_status.fatal_error
        if isinstance(fatal, torch.OutOfMemoryError):
            raise fatal
        if fatal is not None or not self._manager.is_running():
            msg = f"continuous batching ended early: {fatal or 'its loop is gone'}"
            raise GenerationError(msg)

    def _told(self) -> dict[str, Any]:
        """The resolved configuration, and the attention that it ran with."""
        resolved = dataclasses.asdict(self._manager.continuous_batching_config)
        plain = {
            key: value if isinstance(value, int | float | str | None) else str(value)
            for key, value in resolved.items()
        }
        return {**plain, "attention": self._attention}

    def _otherwise(self) -> list[str]:
        """`not_as_requested` where the library settled on something else."""
        resolved = self._manager.continuous_batching_config
        for key, value in self._asked.items():
            found = getattr(resolved, key, value)
            there = found if isinstance(found, tuple) else (found,)
            if value in there or (key in _COMPILE and found is not None):
                continue
            msg = f"continuous_batching.{key}={value!r} was asked for, not {found!r}"
            if self._strict:
                raise ConfigError(msg)
            return ["not_as_requested"]
        return []


def _waited_ms(result: Any) -> float | None:
    """How long a request waited in the library's queue; None of one that failed."""
    if result.error is not None:
        return None
    return 1e3 * float(result.lifespan[0] - result.created_time)


def _completion(
    prompt: Sequence[int],
    result: Any,
    span: tuple[int, int],
    options: GenerateOptions,
) -> Completion:
    stamps = [round(1e9 * each) for each in result.timestamps or ()]
    if stamps and not span[0] <= stamps[0] <= stamps[-1] <= span[1]:
        msg = "the engine's stamps lie outside the pass: its clock is another one"
        raise GenerationError(msg)
    ids = list(result.generated_tokens)
    full = len(ids) == options.output_tokens
    check_count(len(ids), "length" if full else "stop", options)
    failed = result.error is not None
    return Completion(
        input_tokens=len(prompt),
        output_ids=ids,
        finish_reason="length" if full else "stop",
        sent_ns=span[0],
        ended_ns=span[1],
        token_ns=stamps,
        outcome="engine_error" if failed else "completed",
        error=str(result.error).partition("\n")[0] if failed else None,
    )
