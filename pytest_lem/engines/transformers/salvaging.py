"""What requests did of a pass in which transformers failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pytest_lem.engines import Completion, GenerateOptions
from pytest_lem.engines.transformers.requests import Batch


class _Collects(Protocol):
    def collect(
        self,
        batches: Sequence[Any],
        outcomes: Sequence[Any],
        spans: Sequence[tuple[int, int]],
        options: GenerateOptions,
    ) -> dict[str, Any]: ...


class Salvaging:
    """Tells of whole batches what came of them; of the one that broke off nothing.

    Nor of requests that are paced or batched continuously.
    """

    def salvage(
        self: _Collects,
        batches: Sequence[Any],
        outcomes: Sequence[Any],
        spans: Sequence[tuple[int, int]],
        options: GenerateOptions,
        error: str,
    ) -> list[Completion]:
        """Requests of batches that ended, and those that went into the last one."""
        last = batches[len(outcomes)]
        if not isinstance(last, Batch):
            return []
        done: list[Completion] = []
        if outcomes:
            ended = batches[: len(outcomes)]
            told = self.collect(ended, outcomes, spans[: len(outcomes)], options)
            done += told["completions"]
        sent_ns, ended_ns = spans[-1]
        broken = [
            Completion(
                input_tokens=length,
                output_ids=[],
                finish_reason="unknown",
                sent_ns=sent_ns,
                ended_ns=ended_ns,
                token_ns=[],
                outcome="engine_error",
                error=error,
            )
            for length in last.lengths
        ]
        return done + broken
