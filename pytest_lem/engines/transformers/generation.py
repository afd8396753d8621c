"""How the transformers engine generates: its configuration, and what ends a request."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import CompileConfig, GenerationConfig
from transformers.generation.stopping_criteria import StopStringCriteria
from transformers.generation.streamers import BaseStreamer

from pytest_lem.engines import GenerateOptions
from pytest_lem.errors import ConfigError
from pytest_lem.spec.nearest import unknown

DECODER_KEYS = (
    "do_sample",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "num_beams",
)

SECTION_KEYS = (
    "use_cache",
    "cache_implementation",
    "cache_config",
    "max_cache_len",
    "prefill_chunk_size",
    "disable_compile",
    "eos_token_id",
    "stop_strings",
    "max_time",
    "early_stopping",
    "length_penalty",
    "num_return_sequences",
    "typical_p",
    "epsilon_cutoff",
    "eta_cutoff",
    "top_h",
    "guidance_scale",
    "output_scores",
    "output_logits",
    "return_dict_in_generate",
    "output_hidden_states",
    "output_attentions",
)


def generation_config(
    options: GenerateOptions, section: Mapping[str, Any], *, pad: int
) -> GenerationConfig:
    """How one pass is generated; greedy unless the decoder options say otherwise.

    What is not set here comes from the model's own generation_config.json.
    """
    refuse_unknown(options.decoder, DECODER_KEYS, where="decoder")
    decoder = {
        key: value for key, value in options.decoder.items() if value is not None
    }
    if options.stamps and decoder.get("num_beams", 1) > 1:
        msg = "token stamps need num_beams=1: beam search has no tokens until it ends"
        raise ConfigError(msg)
    if options.output_limits and decoder.get("num_beams", 1) > 1:
        msg = "a beam search has one output length for all rows: leave out num_beams"
        raise ConfigError(msg)
    own = section_fields(section)
    if options.stamps and own.get("num_return_sequences", 1) > 1:
        msg = "token stamps need num_return_sequences=1: a step has a token of each"
        raise ConfigError(msg)
    fewest = options.min_output_tokens
    length = {} if fewest is None else {"min_new_tokens": fewest}
    if decoder.get("temperature") == 0:  # greedy, which the library calls otherwise
        decoder = {**decoder, "temperature": None, "do_sample": False}
    ours = {
        "return_dict_in_generate": False,
        "num_return_sequences": 1,
        "do_sample": False,
        "num_beams": 1,
        "max_new_tokens": options.output_tokens,
        "pad_token_id": pad,
    }
    try:
        return GenerationConfig(**{**ours, **decoder, **length, **own})
    except ValueError as error:
        raise ConfigError(f"transformers: {error}") from error


def section_config(section: Mapping[str, Any]) -> GenerationConfig:
    """What a section alone sets, which need not make sense without a decoder's."""
    found = GenerationConfig()
    for key, value in section_fields(section).items():
        setattr(found, key, value)
    return found


def section_fields(section: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `GenerationConfig` that a section sets.

    Raises ConfigError for one of `extra.generate` that the library does not have.
    """
    found = {key: section[key] for key in SECTION_KEYS if section.get(key) is not None}
    compiling = section.get("compile_config") or {}
    if chosen := {key: one for key, one in compiling.items() if one is not None}:
        found["compile_config"] = CompileConfig(**chosen)
    if section.get("torch_compile"):  # else the library compiles what is compiled
        found.setdefault("disable_compile", True)
    extra = (section.get("extra") or {}).get("generate") or {}
    known = [name for name in vars(GenerationConfig()) if not name.startswith("_")]
    refuse_unknown(extra, known, where="transformers.extra.generate")
    return {**found, **extra}


def refuse_unknown(
    given: Mapping[str, Any], known: Sequence[str], *, where: str
) -> None:
    """Refuse the first option that is set and that this engine does not know."""
    for key, value in given.items():
        if key not in known and value is not None:
            raise ConfigError(unknown("key", key, known, within=f"{where}."))


def end_ids(generation: GenerationConfig, model_ends: Sequence[int]) -> frozenset[int]:
    """The ids that end a request: those of the pass, else the model's own."""
    ends = generation.eos_token_id
    if ends is None:
        return frozenset(model_ends)
    return frozenset([ends] if isinstance(ends, int) else ends)


class TokenClock(BaseStreamer):  # type: ignore[misc]
    """Stamps each token step; `generate` calls it in its own thread.

    The first call brings the prompt, before prefill; each later one brings a token for
    each row, copied to the host, so the device has finished it. With speculation it
    brings all tokens of one row that a step accepted: they share a stamp.
    """

    def __init__(self) -> None:
        self.stamps: list[int] = []

    def put(self, value: Any) -> None:
        """Note the time of one step."""
        several = value.dim() > 1 and self.stamps
        self.stamps += [time.monotonic_ns()] * (value.shape[1] if several else 1)

    def end(self) -> None:
        """Generation is over: nothing is held back."""


def stopped_at(
    ids: torch.Tensor, width: int, generation: GenerationConfig, tokenizer: Any
) -> list[int | None]:
    """New tokens of each row up to the first stop string, that included, or None.

    Told by the library's own criterion, as it was after each step.
    """
    places: list[int | None] = [None] * len(ids)
    if not generation.stop_strings:
        return places
    ends = StopStringCriteria(tokenizer=tokenizer, stop_strings=generation.stop_strings)
    for end in range(width + 1, ids.shape[1] + 1):
        done = ends(ids[:, :end], None).tolist()
        for row, stopped in enumerate(done):
            if stopped and places[row] is None:
                places[row] = end - width
    return places


def kept_mb(result: Any) -> dict[str, float] | None:
    """Sizes of what a pass was asked to keep beside its ids, by name."""
    if isinstance(result, torch.Tensor):
        return None
    names = ("scores", "logits", "hidden_states", "attentions", "past_key_values")
    return {
        name: _bytes(kept) / 1e6
        for name in names
        if (kept := getattr(result, name, None)) is not None
    }


def _bytes(kept: Any) -> int:
    if isinstance(kept, torch.Tensor):
        return int(kept.nbytes)
    if isinstance(kept, (list, tuple)):
        return sum(map(_bytes, kept))
    layers = getattr(kept, "layers", ())
    return sum(
        _bytes(getattr(layer, name, None))
        for layer in layers
        for name in ("keys", "values")
    )


def plain(generation: GenerationConfig) -> dict[str, Any]:
    """What a generation config sets, as plain values."""
    every = json.loads(generation.to_json_string(use_diff=False))
    return {key: value for key, value in every.items() if value is not None}
