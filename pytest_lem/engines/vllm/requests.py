"""What vLLM made of requests: beams, cached tokens, work that is known."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_lem.analysis.flops import Work
from pytest_lem.engines import Completion, GenerateOptions
from pytest_lem.engines.contract import check_count
from pytest_lem.engines.served import Reason, Span, together


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flight:
    """Requests of one call, as vLLM takes them, and how they are sampled.

    `own` has the parameters of each, or None where `params` are those of all.
    `lora` has the adapter of each, or None where there are none; `priorities` that of
    each, the lower the sooner, or None where all are alike.
    `paced` says that they are sent one by one, not at once; `stamps` asks for the time
    of each token; `limited` says that each has a time after which it is ended.
    """

    prompts: list[Any]
    lengths: list[int]
    params: Any
    own: list[Any] | None = None
    lora: list[Any] | None = None
    priorities: list[int] | None = None
    paced: bool = False
    stamps: bool = False
    limited: bool = False

    @property
    def beams(self) -> int:
        """Texts that a beam search follows at once; 0 where there is none."""
        return int(getattr(self.params, "beam_width", 0))

    @property
    def timed(self) -> bool:
        """Whether each request has times of its own."""
        # Several texts of a prompt are not followed as they come.
        limited = self.limited and getattr(self.params, "n", 0) == 1
        return self.stamps or self.paced or limited

    def sampled(self, place: int) -> Any:
        """How a request is sampled."""
        return self.params if self.own is None else self.own[place]

    def of_kind(self, kind: str) -> Flight:
        """The same with so many events for each request, by the name of their kind."""
        own = self.own
        return replace(
            self,
            params=_of_kind(self.params, kind),
            own=None if own is None else [_of_kind(one, kind) for one in own],
        )

    def adapter(self, place: int) -> Any:
        """What a request is computed with; None for the model alone."""
        return None if self.lora is None else self.lora[place]

    def priority(self, place: int) -> int:
        """How soon a request is to run; 0 where all are alike."""
        return 0 if self.priorities is None else self.priorities[place]

    def only(self, place: int) -> Flight:
        """One request of it, by itself."""
        return replace(
            self,
            prompts=[self.prompts[place]],
            lengths=[self.lengths[place]],
            params=self.sampled(place),
            own=None,
            lora=None if self.lora is None else [self.lora[place]],
            priorities=self.priorities and [self.priorities[place]],
            paced=False,
        )


def _of_kind(params: Any, kind: str) -> Any:
    from vllm.sampling_params import RequestOutputKind

    changed = copy.copy(params)
    changed.output_kind = RequestOutputKind[kind]
    return changed


def priorities(section: Mapping[str, Any], requests: int) -> list[int] | None:
    """Those of so many requests, in turn; None where the section names none."""
    turn = section.get("request_priorities")
    return turn and list(itertools.islice(itertools.cycle(turn), requests))


def beam_completion(
    output: Any, length: int, span: Span, options: GenerateOptions
) -> Completion:
    """The best text of a beam search; its tokens come with the prompt before them."""
    best = output.sequences[0]
    ids = list(best.tokens[length:])
    reason: Reason = "length" if len(ids) == options.output_tokens else "stop"
    check_count(len(ids), reason, options)
    return Completion(
        input_tokens=length,
        output_ids=ids,
        finish_reason=reason,
        sent_ns=span[0],
        ended_ns=span[1],
        token_ns=[],
    )


def cached_tokens(outputs: Sequence[Any]) -> int:
    """Prompt tokens that were not computed, because the cache had them."""
    return sum(getattr(one, "num_cached_tokens", None) or 0 for one in outputs)


def work(
    flight: Flight, outputs: Sequence[Any], *, limits: Mapping[str, int]
) -> list[Work] | None:
    """The forward calls of a flight: what each request computed, and beside which.

    They are known where no request was begun again and no prompt was cut: even the
    longest prompts that can run at once fit into one step; and where all were sent at
    once, which says what ran beside what.
    """
    seqs, budget = limits["max_num_seqs"], limits["max_num_batched_tokens"]
    if flight.beams or flight.params.n > 1 or flight.paced:
        return None
    rows = [_row(one) for one in outputs]
    widest = sorted((row.new for row in rows), reverse=True)[:seqs]
    cut = limits["prompt_step"] and widest[0] > limits["prompt_step"]
    if cut or sum(widest) > budget:
        return None
    return together(rows, seqs=seqs)


def _row(output: Any) -> Work:
    """One request by itself."""
    cached = cached_tokens([output])
    return Work(
        rows=1,
        cached=cached,
        new=len(output.prompt_token_ids) - cached,
        steps=len(output.outputs[0].token_ids),
    )
