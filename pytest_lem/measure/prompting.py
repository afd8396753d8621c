"""The prompts of one pass, as token ids of the loaded engine's own tokenizer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_lem.spec.workload import Workload
from pytest_lem.workload.prompts import read_text, recipe_sha256, synthetic, take

if TYPE_CHECKING:
    from pytest_lem.measure.laboratory import Bench

WARMUP = -1
"""The window number of the first warm-up pass; later ones count down from it."""


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
            input_tokens=workload.synthetic_input_tokens,
            vocab_size=facts["vocab_size"],
            seed=workload.seed,
            cycle=cycle,
            window=window,
            reserved=frozenset(facts.get("reserved_ids") or ()),
        )
        return Requests(prompts=made, tokenise_s=None)
    ids, tokenise_s, cut = _tokenised(workload, bench)
    start = max(0, window) * count
    prompts = take(ids, count, start)
    return Requests(prompts=prompts, tokenise_s=tokenise_s, texts=len(ids), cut=cut)


def recipe(workload: Workload) -> dict[str, Any]:
    """How the prompts were made, and the hash of that; texts enter by content."""
    texts = _texts(workload)
    how: dict[str, Any] = {
        "source": "synthetic" if texts is None else "text",
        "input_tokens": workload.input_tokens
        if texts is not None
        else workload.synthetic_input_tokens,
        "requests": workload.request_count,
        "seed": workload.seed,
    }
    if texts is not None:
        how["texts"] = texts
    digest = recipe_sha256(how)
    how.pop("texts", None)
    return {**how, "count": len(texts) if texts else None, "recipe_sha256": digest}


def _tokenised(
    workload: Workload, bench: "Bench"
) -> tuple[list[list[int]], float, int]:
    """Ids of the texts, how long that took, and how many were cut."""
    key = f"{workload.prompts!r}:{workload.input_tokens}"
    if key not in bench.texts:
        texts = _texts(workload) or []
        start = time.monotonic()
        ids = bench.client.tokenize(texts)
        kept = [one[: workload.input_tokens] for one in ids]
        shorter = sum(len(one) < len(all_) for one, all_ in zip(kept, ids, strict=True))
        bench.texts[key] = (kept, time.monotonic() - start, shorter)
    return bench.texts[key]


def _texts(workload: Workload) -> list[str] | None:
    if workload.prompts is None:
        return None
    if isinstance(workload.prompts, str):
        return read_text(workload.prompts)
    return [text for text in workload.prompts if text.strip()]
