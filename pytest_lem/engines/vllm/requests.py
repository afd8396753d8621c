"""What vLLM made of requests: completions, cached tokens, work that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_lem.analysis.flops import Work
from pytest_lem.engines import Completion, GenerateOptions
from pytest_lem.errors import ConfigError, GenerationError

Span = tuple[int, int]
Reason = Literal["length", "stop", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flight:
    """Requests that vLLM gets at once, as it takes them, and how they are sampled."""

    prompts: list[Any]
    lengths: list[int]
    params: Any
    lora: Any = None

    @property
    def beams(self) -> int:
        """Texts that a beam search follows at once; 0 where there is none."""
        return int(getattr(self.params, "beam_width", 0))


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


def preemptions(outputs: Sequence[Any]) -> int | None:
    """Times that a request was thrown out and begun again; None where not told."""
    told = [getattr(one.metrics, "num_preemptions", None) for one in outputs]
    known = [count for count in told if count is not None]
    return sum(known) if len(known) == len(told) else None


def work(
    flight: Flight,
    outputs: Sequence[Any],
    *,
    limits: Mapping[str, int],
    steps: int,
) -> list[Work] | None:
    """The forward calls of a flight, where nothing but the scheduler decided them.

    They are known if all prompts are as long, none was cut or cached, and each wave of
    `max_num_seqs` requests fits into one step of `max_num_batched_tokens`.
    """
    seqs, budget = limits["max_num_seqs"], limits["max_num_batched_tokens"]
    lengths = {*flight.lengths}
    tokens = {len(one.outputs[0].token_ids) for one in outputs}
    if flight.beams or flight.params.n > 1 or len(lengths) != 1 or tokens != {steps}:
        return None
    if cached_tokens(outputs) or preemptions(outputs) != 0:
        return None
    (length,) = lengths
    count = len(flight.prompts)
    if min(seqs, count) * length > budget:
        return None
    waves = [min(seqs, count - start) for start in range(0, count, seqs)]
    return [Work(rows=rows, cached=0, new=length, steps=steps) for rows in waves]


def check_lengths(
    prompts: Sequence[Sequence[int]], options: GenerateOptions, *, context: int
) -> None:
    """Refuse what the model cannot hold, and sizes below one."""
    fewest = options.min_output_tokens or 0
    if options.batch_size < 1 or not 1 <= options.output_tokens >= fewest >= 0:
        msg = (
            f"batch_size {options.batch_size}, output_tokens {options.output_tokens}, "
            f"min_output_tokens {fewest}: sizes are at least 1 and the minimum no more "
            "than the limit"
        )
        raise ConfigError(msg)
    for place, prompt in enumerate(prompts):
        if not prompt:
            msg = f"prompt {place} has no tokens: a request needs at least one"
            raise ConfigError(msg)
        total = len(prompt) + options.output_tokens
        if total > context:
            msg = (
                f"prompt {place} has {len(prompt)} tokens, with {options.output_tokens}"
                f" to generate that is {total}: vllm.max_model_len is {context}"
            )
            raise ConfigError(msg)


def check_count(count: int, reason: str, options: GenerateOptions) -> None:
    """See that the work asked for was done, or the pass is worth nothing."""
    fewest, most = options.min_output_tokens or 1, options.output_tokens
    if not fewest <= count <= most:
        msg = (
            f"a request got {count} tokens ({reason}), between {fewest} and {most} "
            "were asked for"
        )
        raise GenerationError(msg)


def _reason(one: Any, options: GenerateOptions) -> Reason:
    """Why a text ended; anything but its length or an end is a failure."""
    if one.finish_reason not in ("length", "stop"):
        count = len(one.token_ids)
        msg = f"a request ended by {one.finish_reason!r} after {count} tokens"
        raise GenerationError(msg)
    full = len(one.token_ids) == options.output_tokens
    return "length" if full and one.finish_reason == "length" else "stop"
