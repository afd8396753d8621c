"""Requests of the transformers engine: batches that go in, and what came of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from transformers import GenerationConfig
from transformers.generation.stopping_criteria import (
    StoppingCriteria,
    StoppingCriteriaList,
)

from pytest_lem.analysis.flops import Work
from pytest_lem.engines import Completion, GenerateOptions
from pytest_lem.engines.contract import check_count
from pytest_lem.errors import ConfigError, GenerationError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Prompts on the device: ids and mask (rows, width), padded on the left.

    `places` are those of the prompts among all of the pass; `criteria` end rows that
    have a limit of their own.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    lengths: list[int]
    places: list[int]
    generation: GenerationConfig
    criteria: StoppingCriteriaList | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What `generate` returned: prompt and new ids, and the stamps if asked for.

    `calls` has the tokens of each forward call where some of them were drafted. Of
    several texts for a prompt there is a row for each, one after another.
    """

    ids: torch.Tensor
    stamps: list[int] | None
    calls: list[int] | None = None


class RowLimits(StoppingCriteria):  # type: ignore[misc]
    """Ends each row of a batch at its own limit; `generate` fills it up with pads."""

    def __init__(self, batch: Batch, options: GenerateOptions) -> None:
        texts = batch.generation.num_return_sequences
        limits = [options.of(place).output_tokens for place in batch.places]
        rows = [limit for limit in limits for _ in range(texts)]
        self._limits = torch.tensor(rows, device=batch.input_ids.device)
        self._width = batch.input_ids.shape[1]

    def __call__(
        self, input_ids: torch.Tensor, _scores: Any, **_more: Any
    ) -> torch.Tensor:
        """Whether each row is as long as it may be."""
        return input_ids.shape[1] - self._width >= self._limits


def extended(
    work: list[Work] | None, batch: Batch, steps: int, options: GenerateOptions
) -> list[Work] | None:
    """The work with a batch more; None where its forward calls cannot be told.

    Beams and texts are rows of their own; unless the length is forced the best may be
    shorter than the search was.
    """
    asked = batch.generation
    if work is None or (asked.num_beams > 1 and not options.forced):
        return None
    rows, width = batch.input_ids.shape
    rows *= max(asked.num_beams, asked.num_return_sequences)
    guided = asked.guidance_scale not in (None, 1)
    if asked.use_cache is False:
        # Guidance then makes logits of every token, which no form here has.
        alone = Work(rows=rows, cached=0, new=width, steps=steps, cache="none")
        return None if guided else [*work, alone]
    chunk = asked.prefill_chunk_size or width
    *before, last = range(0, width, chunk)
    work = [*work, *(Work(rows, place, chunk, 1) for place in before)]
    work.append(Work(rows, last, width - last, steps))
    if guided:  # the same without the prompt, but for its last token
        work.append(Work(rows, 0, 1, steps, cache="beside"))
    return work


def left_padded(
    prompts: Sequence[Sequence[int]],
    generation: GenerationConfig,
    options: GenerateOptions,
    device: torch.device,
    drafts: bool,
    places: list[int],
) -> Batch:
    """The prompts of these places as one batch on the device, wide as the longest.

    `drafts` says that tokens are drafted, for one row at a time.
    """
    rows = [list(prompts[place]) for place in places]
    width = max(len(row) for row in rows)
    pad = generation.pad_token_id
    ids = [[pad] * (width - len(row)) + row for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    batch = Batch(
        input_ids=torch.tensor(ids, dtype=torch.long, device=device),
        attention_mask=torch.tensor(mask, dtype=torch.long, device=device),
        lengths=[len(row) for row in rows],
        places=places,
        generation=generation,
    )
    if not options.output_limits:
        return batch
    return _of_one(batch, options) if drafts else _of_rows(batch, options)


def _of_rows(batch: Batch, options: GenerateOptions) -> Batch:
    """The batch with the limit of each row.

    All batches keep one configuration: caches of a fixed size and what was compiled
    for them serve each.
    """
    limits = RowLimits(batch, options)
    return replace(batch, criteria=StoppingCriteriaList([limits]))


def _of_one(batch: Batch, options: GenerateOptions) -> Batch:
    """The batch of one row with its limit, beyond which drafts would go."""
    one, generation = options.of(batch.places[0]), copy.deepcopy(batch.generation)
    least = (
        {}
        if one.min_output_tokens is None
        else {"min_new_tokens": one.min_output_tokens}
    )
    generation.update(max_new_tokens=one.output_tokens, **least)
    return replace(batch, generation=generation)


def check_waiting(
    prompts: Sequence[Sequence[int]],
    groups: Sequence[Sequence[int]],
    options: GenerateOptions,
    context: int | None,
) -> None:
    """Refuse batches in which a row that is done would be filled up past the context.

    It is computed for as long as another row of its batch goes on.
    """
    if context is None or not options.output_limits or options.batch_size == 1:
        return
    for places in groups:
        steps, slow = max((options.output_limits[one], one) for one in places)
        length, long = max((len(prompts[one]), one) for one in places)
        if length + steps > context:
            msg = (
                f"prompt {long} has {length} tokens and waits in its batch for prompt "
                f"{slow}, which gets {steps}: together {length + steps}, and the "
                f"model's context is {context}; a smaller batch_size parts them"
            )
            raise ConfigError(msg)


def in_order(batches: Sequence[Batch], done: Sequence[Completion]) -> list[Completion]:
    """Completions, batch after batch, in the order of the prompts instead."""
    places = [place for batch in batches for place in batch.places]
    return [one for _, one in sorted(zip(places, done, strict=True), key=_first)]


def _first(pair: tuple[int, Completion]) -> int:
    return pair[0]


def completions_of(
    rows: Sequence[Sequence[int]],
    lengths: Sequence[int],
    stamps: Sequence[int] | None,
    span: tuple[int, int],
    *,
    ends: frozenset[int],
    options: GenerateOptions,
    stops: Sequence[int | None] | None = None,
    texts: int = 1,
    places: Sequence[int] | None = None,
) -> list[Completion]:
    """The requests of one batch; `rows` are new ids only, filled up with pads.

    `stops` has the tokens of each row up to its first stop string, or None; there are
    as many rows for each request as `texts`, and `places` has where each request is
    among all of the pass. Raises GenerationError where the work differs from what was
    asked.
    """
    steps = len(rows[0])
    if stamps is not None and len(stamps) - 1 != steps:
        msg = f"{len(stamps) - 1} steps were stamped and {steps} tokens came out"
        raise GenerationError(msg)
    places = range(len(lengths)) if places is None else places
    asked = [options.of(place) for place in places for _ in range(texts)]
    stops = stops or [None] * len(rows)
    longest = max(own.output_tokens for own in asked)
    done = []
    for row, stop, own in zip(rows, stops, asked, strict=True):
        ids, reason = own_tokens(
            (row[: own.output_tokens] if steps <= longest else row)[:stop],
            frozenset() if own.forced else ends,
            limit=own.output_tokens,
        )
        check_count(len(ids), reason, own)
        done.append((ids, "stop" if stop == len(ids) else reason))
    return [
        _completion(done[place * texts :][:texts], length, stamps, span)
        for place, length in enumerate(lengths)
    ]


Reason = Literal["length", "stop", "unknown"]


def _completion(
    texts: Sequence[tuple[list[int], Reason]],
    length: int,
    stamps: Sequence[int] | None,
    span: tuple[int, int],
) -> Completion:
    """A request of its texts; it ended as they did, if all ended alike."""
    ids = [token for text, _ in texts for token in text]
    reasons = {reason for _, reason in texts}
    return Completion(
        input_tokens=length,
        output_ids=ids,
        finish_reason=reasons.pop() if len(reasons) == 1 else "unknown",
        sent_ns=span[0],
        ended_ns=span[1],
        token_ns=list(stamps[1 : len(ids) + 1]) if stamps is not None else [],
        texts=len(texts),
    )


def own_tokens(
    row: Sequence[int], ends: frozenset[int], *, limit: int
) -> tuple[list[int], Reason]:
    """A row's ids up to its first end token, that one included, and why it ended."""
    for place, token in enumerate(row):
        if token in ends:
            return list(row[: place + 1]), "stop"
    return list(row), "length" if len(row) == limit else "unknown"


def merged(*told: Mapping[str, Any]) -> dict[str, Any]:
    """What parts of the engine say of a pass, with the flags of all of them."""
    flags = [flag for one in told for flag in one.get("flags", ())]
    return {key: value for one in told for key, value in one.items()} | {"flags": flags}
