"""Speculation: tokens that an assistant or the prompt drafts, and how many are kept."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
)

from pytest_lem.engines.transformers.requests import Batch, Outcome
from pytest_lem.errors import ConfigError
from pytest_lem.workload.models import Model, resolve

_OF_ASSISTANT = (
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "assistant_confidence_threshold",
)
_OF_ITSELF = (
    "prompt_lookup_num_tokens",
    "max_matching_ngram_size",
    "assistant_early_exit",
)


class Drafting:
    """What drafts tokens for a model, and a count of what the model makes of them."""

    def __init__(self, model: Any, tokenizer: Any, asked: Mapping[str, Any]) -> None:
        self._model = model
        self._assistant: Any = None
        # Without an assistant the model's own settings are what the library adapts.
        self._settings: Any = copy.deepcopy(model.generation_config)
        self._layers = model.config.num_hidden_layers
        self._fields = {key: asked[key] for key in _OF_ITSELF if key in asked}
        if asked.get("assistant_model") is not None:
            found = resolve(asked["assistant_model"], backend="transformers")
            _refuse_other_tokens(found, tokenizer)
            self._assistant = _assistant(found, model)
            self._settings = self._assistant.generation_config
            for key in _OF_ASSISTANT:
                if key in asked:
                    self._settings.update(**{key: asked[key]})

    @property
    def effective(self) -> dict[str, Any]:
        """How tokens are drafted, as the objects have it."""
        if self._assistant is None:
            early = "assistant_early_exit" in self._fields
            method = "early_exit" if early else "prompt_lookup"
            return {"method": method, **self._fields}
        defaults = self._settings._get_default_generation_params()
        values = {key: getattr(self._settings, key) for key in _OF_ASSISTANT}
        return {
            "method": "assistant_model",
            "assistant_parameters": sum(
                p.numel() for p in self._assistant.parameters()
            ),
            **{k: defaults.get(k) if v is None else v for k, v in values.items()},
        }

    def prepare(self, generation: GenerationConfig) -> None:
        """Begin a pass as every other began: the library adapts drafts as it goes."""
        generation.update(**self._fields)
        drafts = self._model if self._assistant is None else self._assistant
        drafts.generation_config = copy.deepcopy(self._settings)

    @property
    def arguments(self) -> dict[str, Any]:
        """What `generate` takes beside its config."""
        return {} if self._assistant is None else {"assistant_model": self._assistant}

    @contextmanager
    def watched(self) -> Iterator[list[int]]:
        """The tokens of each forward call of the model itself, while they are made."""
        calls: list[int] = []

        def note(_module: Any, _args: Any, given: Mapping[str, Any]) -> None:
            # With an early exit the model drafts as well, by fewer of its layers.
            if self._model.config.num_hidden_layers == self._layers:
                calls.append(given["input_ids"].shape[1])

        handle = self._model.register_forward_pre_hook(note, with_kwargs=True)
        try:
            yield calls
        finally:
            handle.remove()


def drafting(model: Any, tokenizer: Any, asked: Mapping[str, Any]) -> Drafting | None:
    """How tokens are drafted for a model, if they are."""
    ways = ("assistant_model", "prompt_lookup_num_tokens", "assistant_early_exit")
    if all(asked.get(way) is None for way in ways):
        return None
    return Drafting(model, tokenizer, asked)


def drafted(batches: Sequence[Batch], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What became of drafted tokens, where some were; stamps then come in chunks."""
    calls = [each.calls for each in outcomes if each.calls is not None]
    if not calls:
        return {}
    widths = [batch.input_ids.shape[1] for batch in batches]
    new = [
        each.ids.shape[1] - width for each, width in zip(outcomes, widths, strict=True)
    ]
    chunks = any(
        len(set(each.stamps)) < len(each.stamps) for each in outcomes if each.stamps
    )
    return {
        "speculation": acceptance(calls, widths, new),
        "flags": ["itl_per_chunk"] if chunks else [],
    }


def acceptance(
    calls: Sequence[Sequence[int]], inputs: Sequence[int], outputs: Sequence[int]
) -> dict[str, Any]:
    """What became of the drafts of a pass; the rate is None where nothing was drafted.

    `calls` has the tokens of each forward call, request by request, `inputs` and
    `outputs` the tokens of each request. Each call checks what was drafted and adds a
    token of its own; the first one computes the prompt as well.
    """
    verified = sum(map(len, calls))
    drafted = sum(map(sum, calls)) - sum(inputs) - (verified - len(inputs))
    accepted = sum(outputs) - verified
    return {
        "verify_calls": verified,
        "drafted_tokens": drafted,
        "accepted_tokens": accepted,
        "acceptance_rate": accepted / drafted if drafted else None,
        "tokens_per_call": sum(outputs) / verified,
    }


def _assistant(found: Model, model: Any) -> Any:
    """The smaller model, in the precision and on the device of the one it helps."""
    if found.weights == "random":
        torch.manual_seed(found.seed)
        with torch.device(model.device):
            made = AutoModelForCausalLM.from_config(
                AutoConfig.from_pretrained(found.path), dtype=model.dtype
            )
    else:
        made = AutoModelForCausalLM.from_pretrained(found.path, dtype=model.dtype)
    return made.to(model.device).eval()


def _refuse_other_tokens(found: Model, tokenizer: Any) -> None:
    theirs = AutoTokenizer.from_pretrained(found.path)
    if theirs.get_vocab() != tokenizer.get_vocab():
        msg = (
            f"assistant_model {found.name!r} has another tokenizer than the model: "
            "its tokens would mean something else"
        )
        raise ConfigError(msg)
