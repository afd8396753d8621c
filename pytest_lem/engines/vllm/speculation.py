"""Speculation: who drafts tokens for a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_lem.workload.models import resolve

TOKENS = 5
"""Tokens drafted at a time where nothing else says how many."""

_NAMES_NUMBER = ("ngram", "ngram_gpu", "draft_model", "eagle", "eagle3")
_MODELLESS = ("ngram", "ngram_gpu", "suffix")


def speculative_arguments(given: Mapping[str, Any], *, weights: str) -> dict[str, Any]:
    """The `speculative_config` that vLLM takes, of the section's.

    The drafting model may be a synthetic one; its weights are made up or read whatever
    those of the model are. Raises ConfigError where it cannot be a model.
    """
    found = dict(given)
    if found.get("method") in _NAMES_NUMBER:
        found.setdefault("num_speculative_tokens", TOKENS)
    if (name := found.get("model")) is None or name in _MODELLESS:
        return found
    model = resolve(name, backend="vllm")
    found["model"] = model.path
    if model.weights != weights:
        made_up = model.weights == "random"
        found["draft_load_config"] = {"load_format": "dummy" if made_up else "auto"}
    return found
