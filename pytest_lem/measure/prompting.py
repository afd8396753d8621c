"""The prompts of one pass, as token ids of the loaded engine's own tokenizer."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_lem.errors import ConfigError
from pytest_lem.spec.lengths import Lengths
from pytest_lem.spec.workload import Workload
from pytest_lem.workload.lengths import (
    digest,
    inputs_of,
    output_digest,
    outputs_of,
    summary,
)
from pytest_lem.workload.prompts import read_text, recipe_sha256, synthetic, take
from pytest_lem.workload.sources import Given, given

if TYPE_CHECKING:
    from pytest_lem.measure.laboratory import Bench

WARMUP = -1
"""The window number of the first warm-up pass; later ones count down from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenised:
    """Given texts as ids, and how many were cut; the template, where one was asked."""

    ids: list[list[int]]
    tokenise_s: float
    cut: int
    chat_template_sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Prompts of a pass, cut from `texts` texts that took `tokenise_s` to tokenise.

    `tokenise_s` is None where nothing was tokenised, as is `cut`: how many of the texts
    were longer than the limit.
    """

    prompts: Sequence[Sequence[int]]
    tokenise_s: float | None
    texts: int = 0
    cut: int | None = None
    chat_template_sha256: str | None = None

    @property
    def tokenise_ms(self) -> float | None:
        """Mean time to tokenise one text."""
        if self.tokenise_s is None or not self.texts:
            return None
        return 1e3 * self.tokenise_s / self.texts


def prompts_for(
    workload: Workload, bench: "Bench", cycle: int, window: int, count: int
) -> Requests:
    """Synthetic ids that repeat no prefix, or the workload's own texts in order.

    Texts start where the window before left off and begin again at the end.
    """
    if workload.prompts is None:
        facts = bench.loaded.model
        made = synthetic(
            count,
            input_tokens=inputs_of(workload, count) or workload.synthetic_input_tokens,
            vocab_size=facts["vocab_size"],
            seed=workload.seed,
            cycle=cycle,
            window=window,
            shared=workload.shared_prefix_tokens or 0,
            reserved=frozenset(facts.get("reserved_ids") or ()),
        )
        return Requests(prompts=made, tokenise_s=None)
    found = _tokenised(workload, bench)
    return Requests(
        prompts=take(found.ids, count, start=max(0, window) * count),
        tokenise_s=found.tokenise_s,
        texts=len(found.ids),
        cut=found.cut,
        chat_template_sha256=found.chat_template_sha256,
    )


def by_content(workload: Workload) -> Workload:
    """The same with the content of files in place of their names."""
    found: dict[str, Any] = {}
    if workload.input_lengths is not None:
        found["input_lengths"] = digest(Lengths.parse(workload.input_lengths))
    if workload.output_lengths is not None:
        found["output_lengths"] = output_digest(workload)
    options = workload.prompt_options
    if isinstance(options.chat_template, str):
        told = hashlib.sha256(read_text(options.chat_template).encode()).hexdigest()
        found["prompt_options"] = options.model_copy(update={"chat_template": told})
    return workload.model_copy(update=found)


def recipe(workload: Workload) -> dict[str, Any]:
    """How the prompts were made, and the hash of that; texts enter by content.

    `lengths` has those that were drawn, of a window's requests; answers are no part of
    the hash. `count` is the number of given prompts, out of `available` ones in a
    source of that `format`; nothing depends on the source beyond its texts.
    """
    found = _given(workload)
    how: dict[str, Any] = {
        "source": "synthetic" if found is None else "text",
        "input_tokens": workload.synthetic_input_tokens
        if found is None and workload.input_lengths is None
        else workload.input_tokens,
        "requests": workload.request_count,
        "seed": workload.seed,
    }
    plain = by_content(workload)
    options = plain.prompt_options
    if workload.input_lengths is not None:
        how["input_lengths"] = plain.input_lengths
    if workload.shared_prefix_tokens is not None:
        how["shared_prefix_tokens"] = workload.shared_prefix_tokens
    lengths = _drawn(workload, plain.output_lengths)
    if found is None:
        sha256 = recipe_sha256(how)
        return {**how, **lengths, "count": None, "recipe_sha256": sha256}
    if options.truncation is not None:
        how["truncation"] = options.truncation
    if options.chat_template:
        how["chat_template"] = options.chat_template
    return {
        **how,
        **lengths,
        "count": len(found.texts),
        "available": found.available,
        "format": found.format,
        "column": found.column,
        "order": options.order or "given",
        "recipe_sha256": recipe_sha256({**how, "texts": found.texts}),
    }


def _drawn(workload: Workload, output_lengths: str | None) -> dict[str, Any]:
    """The lengths of a window's requests that were drawn, and how those out were."""
    count = workload.request_count
    lengths = {
        "input": inputs_of(workload, count),
        "output": outputs_of(workload, count),
    }
    told = {side: summary(one) for side, one in lengths.items() if one is not None}
    asked = {} if output_lengths is None else {"output_lengths": output_lengths}
    return {**asked, "lengths": told} if told else {}


def _tokenised(workload: Workload, bench: "Bench") -> Tokenised:
    """Ids of the texts by the engine's own tokenizer, once for each load."""
    key = f"{workload.prompts!r}:{workload.prompt_options!r}:{workload.seed}"
    key += f":{workload.input_tokens}"
    if key not in bench.texts:
        found = _given(workload)
        texts = found.texts if found else []
        chat = workload.prompt_options.chat_template
        start, told = time.monotonic(), None
        if chat:
            template = read_text(chat) if isinstance(chat, str) else None
            ids, told = bench.client.chat(texts, template)
        else:
            ids = bench.client.tokenize(texts)
        kept = [_cut(one, k, workload) for k, one in enumerate(ids)]
        bench.texts[key] = Tokenised(
            ids=kept,
            tokenise_s=time.monotonic() - start,
            cut=sum(len(a) < len(b) for a, b in zip(kept, ids, strict=True)),
            chat_template_sha256=told,
        )
    return bench.texts[key]


def _cut(ids: list[int], place: int, workload: Workload) -> list[int]:
    """The ids within the limit, from the end that is kept."""
    limit, truncation = workload.input_tokens, workload.prompt_options.truncation
    if limit is None or len(ids) <= limit:
        return ids
    if truncation == "refuse":
        msg = (
            f"prompt {place + 1} has {len(ids)} tokens, above input_tokens={limit}, "
            "and prompt_options.truncation is refuse"
        )
        raise ConfigError(msg)
    return ids[-limit:] if truncation == "start" else ids[:limit]


def _given(workload: Workload) -> Given | None:
    if workload.prompts is None:
        return None
    return given(workload.prompts, workload.prompt_options, workload.seed)
