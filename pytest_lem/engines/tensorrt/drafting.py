"""Speculation: who drafts tokens for a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.workload.models import resolve

TOKENS = 5
"""Tokens drafted at a time where nothing else says how many."""

_NOT_COUNTED = ("MTP", "AUTO")


def drafting(given: Mapping[str, Any], *, weights: str) -> tuple[str, dict[str, Any]]:
    """The name of TensorRT-LLM's object for a `speculative_config`, and its fields.

    The drafting model may be a synthetic one; its weights are made up or read whatever
    those of the model are. Raises ConfigError where it cannot be a model.
    """
    kind = given["decoding_type"]
    found = {key: one for key, one in given.items() if key != "decoding_type"}
    if kind not in _NOT_COUNTED:
        found.setdefault("max_draft_len", TOKENS)
    if schedule := found.get("draft_len_schedule"):
        found["draft_len_schedule"] = {int(k): count for k, count in schedule.items()}
    if (name := found.get("speculative_model")) is not None:
        model = resolve(name, backend="tensorrt")
        found["speculative_model"] = model.path
        if model.weights != weights:
            made_up = model.weights == "random"
            found["load_format"] = "dummy" if made_up else "auto"
    return f"{kind.replace('_', '').replace('AUTO', 'Auto')}DecodingConfig", found


def refuse_compiled(given: Mapping[str, Any] | None) -> None:
    """Refuse drafts where an engine is compiled: nothing of ours was tried there."""
    if given:
        msg = (
            "tensorrt.speculative_config is for the PyTorch backend: leave out "
            "tensorrt.backend, or what is about builds"
        )
        raise ConfigError(msg)
