"""What a model is that TensorRT-LLM has loaded: its shape, where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_lem.analysis.architecture import NoArchitecture, from_config
from pytest_lem.engines.contract import rss_peak_mb
from pytest_lem.workload.models import directory_sha256

_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "FP8": 1, "INT8": 1, "NVFP4": 0.5}


def model_facts(
    config: Mapping[str, Any], tokenizer: Any, *, dtype: str, longest: int | None
) -> dict[str, Any]:
    """The model's shape and special ids, by its own files; null where they do not say.

    TensorRT-LLM holds the weights in processes of its own: their number and size are
    not told. `reserved_ids` are the ids that a made-up prompt must not contain.
    """
    text = config.get("text_config") or config
    ends = text.get("eos_token_id")
    eos_ids = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
    pad_id = text.get("pad_token_id")
    heads = text.get("num_attention_heads")
    special = getattr(getattr(tokenizer, "tokenizer", tokenizer), "all_special_ids", ())
    reserved = {*special, text.get("bos_token_id"), pad_id, *eos_ids} - {None}
    return {
        "architecture": next(iter(config.get("architectures") or ()), None),
        "model_type": config.get("model_type"),
        "parameters": None,
        "dtype": dtype,
        "vocab_size": text.get("vocab_size"),
        "context_length": longest or text.get("max_position_embeddings"),
        "layers": text.get("num_hidden_layers"),
        "hidden_size": text.get("hidden_size"),
        "intermediate_size": text.get("intermediate_size"),
        "attention_heads": heads,
        "key_value_heads": text.get("num_key_value_heads") or heads,
        "head_dim": text.get("head_dim"),
        "tied_embeddings": bool(text.get("tie_word_embeddings", False)),
        "bos_id": text.get("bos_token_id"),
        "eos_ids": eos_ids,
        "pad_id": next(iter(eos_ids), None) if pad_id is None else pad_id,
        "reserved_ids": sorted(reserved),
        **_shape(config),
    }


def origin(spec: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """Where the model came from: commit and hashes, `None` where there are none."""
    nothing = dict.fromkeys(("config_sha256", "tokenizer_sha256", "weights_sha256"))
    local = folder is not None and str(folder) == spec["model"]
    commit = None if folder is None or local else folder.name
    return {
        "revision": commit,
        "custom_code": bool(spec["trust_remote_code"]),
        **(nothing if folder is None else directory_sha256(folder)),
    }


def load_memory() -> dict[str, float | None]:
    """Sizes in MB; TensorRT-LLM tells none of what its own processes hold."""
    untold = dict.fromkeys(("model_mb", "kv_cache_pool_mb", "load_peak_mb"))
    return {**untold, "rss_peak_mb": rss_peak_mb()}


def cache_bytes(model: Mapping[str, Any], kind: str) -> float | None:
    """Bytes that the cache holds for each token; None where the shape is not known."""
    size, elements = _BYTES.get(kind), model.get("key_value_elements")
    return None if size is None or elements is None else size * elements


def _shape(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the closed forms need; unchecked, for the weights are not to be seen."""
    try:
        shape = from_config(config)
    except NoArchitecture as reason:
        return {"closed_form": None, "no_closed_form": str(reason)}
    told = {**shape.to_json(), "key_value_elements": shape.key_value_elements}
    return {**told, "closed_form": "unchecked"}
