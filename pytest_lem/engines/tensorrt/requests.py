"""What TensorRT-LLM made of requests: cached tokens, work that is known."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_lem.analysis.flops import Work
from pytest_lem.engines.served import together
from pytest_lem.workload.adapters import located


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flight:
    """Requests of one call, and how they are sampled.

    `own` has the parameters of each, or None where `params` are those of all.
    `lora` is the adapter of all of them, `salt` what keeps their part of the cache from
    that of other passes; `paced` says that they are sent one by one, not at once,
    `stamps` asks for the time of each token, and `limited` says that each has a time
    after which it is ended.
    """

    prompts: list[list[int]]
    params: Any
    own: list[Any] | None = None
    lora: Any = None
    salt: str | None = None
    paced: bool = False
    stamps: bool = False
    limited: bool = False

    @property
    def timed(self) -> bool:
        """Whether each request has times of its own."""
        return self.stamps or self.paced or self.limited

    @property
    def lengths(self) -> list[int]:
        """Tokens of each prompt."""
        return [len(one) for one in self.prompts]

    @property
    def more(self) -> dict[str, Any]:
        """What the calls take beside prompts and sampling."""
        told = {"lora_request": self.lora, "cache_salt": self.salt}
        return {key: value for key, value in told.items() if value is not None}

    def sampled(self, place: int) -> Any:
        """How a request is sampled."""
        return self.params if self.own is None else self.own[place]

    def only(self, place: int) -> Flight:
        """One request of it, by itself."""
        return replace(
            self,
            prompts=[self.prompts[place]],
            params=self.sampled(place),
            own=None,
            paced=False,
        )


def lora(adapter: str | None) -> Any:
    """What every request is computed with; None for the model alone."""
    if adapter is None:
        return None
    requests = importlib.import_module("tensorrt_llm.executor.request")
    return requests.LoRARequest("adapter", 1, str(located(adapter).folder))


def cached_tokens(outputs: Sequence[Any]) -> int | None:
    """Prompt tokens that the cache had; None where this version does not tell."""
    told = [getattr(one, "cached_tokens", None) for one in outputs]
    known = [count for count in told if count is not None]
    return sum(known) if len(known) == len(told) else None


def work(flight: Flight, outputs: Sequence[Any], *, seqs: int) -> list[Work] | None:
    """The forward calls of a flight: what each request computed, and beside which.

    Known where each request has one text and was not begun again. Those that fit
    together are taken to share their steps: when the scheduler took each is not told.
    But not of those sent one by one, some of which began later.
    """
    if flight.paced or flight.params.best_of > 1 or cached_tokens(outputs) is None:
        return None
    rows = [
        Work(
            rows=1,
            cached=one.cached_tokens,
            new=len(one.prompt_token_ids) - one.cached_tokens,
            steps=len(one.outputs[0].token_ids),
        )
        for one in outputs
    ]
    return together(rows, seqs=seqs)
