"""What TensorRT-LLM made of requests: completions, cached tokens, known work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pytest_lem.analysis.flops import Work
from pytest_lem.engines import Completion, GenerateOptions
from pytest_lem.engines.contract import check_count
from pytest_lem.errors import GenerationError

Span = tuple[int, int]
Reason = Literal["length", "stop", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flight:
    """Requests of one call, and how they are sampled.

    `lora` is the adapter of all of them, `salt` what keeps their part of the cache from
    that of other passes; `stamps` asks for the time of each token.
    """

    prompts: list[list[int]]
    params: Any
    lora: Any = None
    salt: str | None = None
    stamps: bool = False

    @property
    def more(self) -> dict[str, Any]:
        """What the calls take beside prompts and sampling."""
        told = {"lora_request": self.lora, "cache_salt": self.salt}
        return {key: value for key, value in told.items() if value is not None}

    def only(self, place: int) -> Flight:
        """One request of it, by itself."""
        return replace(self, prompts=[self.prompts[place]])


def completion(
    output: Any, span: Span, options: GenerateOptions, stamps: Sequence[int] = ()
) -> Completion:
    """A request from its `RequestOutput`; tokens are those that came out, counted.

    Raises GenerationError where it is not what was asked for.
    """
    texts = [(list(one.token_ids), _reason(one, options)) for one in output.outputs]
    for ids, reason in texts:
        check_count(len(ids), reason, options)
    reasons = {reason for _, reason in texts}
    return Completion(
        input_tokens=len(output.prompt_token_ids),
        output_ids=[token for ids, _ in texts for token in ids],
        finish_reason=reasons.pop() if len(reasons) == 1 else "unknown",
        sent_ns=span[0],
        ended_ns=span[1],
        token_ns=list(stamps),
        texts=len(texts),
    )


def cached_tokens(outputs: Sequence[Any]) -> int | None:
    """Prompt tokens that the cache had; None where this version does not tell."""
    told = [getattr(one, "cached_tokens", None) for one in outputs]
    known = [count for count in told if count is not None]
    return sum(known) if len(known) == len(told) else None


def work(flight: Flight, outputs: Sequence[Any], *, seqs: int) -> list[Work] | None:
    """The forward calls of a flight: what each request computed, and beside which.

    Known where each request has one text and was not begun again. Those that fit
    together are taken to share their steps: when the scheduler took each is not told.
    """
    if flight.params.best_of > 1 or cached_tokens(outputs) is None:
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
    groups = [rows[start : start + seqs] for start in range(0, len(rows), seqs)]
    return [one for group in groups for one in _together(group)]


def _together(group: Sequence[Work]) -> list[Work]:
    """Requests that share their steps; those alike in one."""
    alike = [one._replace(rows=count) for one, count in Counter(group).items()]
    return [alike[0], *(one._replace(cache="shared") for one in alike[1:])]


def _reason(one: Any, options: GenerateOptions) -> Reason:
    """Why a text ended; anything but its length or an end is a failure."""
    if one.finish_reason not in ("length", "stop"):
        count = len(one.token_ids)
        msg = f"a request ended by {one.finish_reason!r} after {count} tokens"
        raise GenerationError(msg)
    full = len(one.token_ids) == options.output_tokens
    return "length" if full and one.finish_reason == "length" else "stop"
