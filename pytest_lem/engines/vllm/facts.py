"""What a model is that vLLM has loaded: its shape, its size, where it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_lem.analysis.architecture import NoArchitecture, from_config
from pytest_lem.engines.contract import rss_peak_mb, total
from pytest_lem.workload.models import directory_sha256

Ranks = Sequence[Mapping[str, Any]]


def model_facts(config: Any, tokenizer: Any, ranks: Ranks) -> dict[str, Any]:
    """The model's shape, size and special ids; null where ranks cannot be added up.

    `reserved_ids` are the ids that a made-up prompt must not contain.
    """
    model = config.model_config
    text = model.hf_text_config
    ends = end_ids(model)
    heads = getattr(text, "num_attention_heads", None)
    special = [getattr(text, "bos_token_id", None), pad_id(text, ends), *ends]
    own = getattr(tokenizer, "all_special_ids", [])
    added = getattr(tokenizer, "added_tokens_decoder", {})
    reserved = {*own, *added, *special} - {None}
    return {
        "architecture": ranks[0]["model_class"],
        "model_type": model.hf_config.model_type,
        "parameters": ranks[0]["parameters"] if len(ranks) == 1 else None,
        "dtype": str(model.dtype).removeprefix("torch."),
        "vocab_size": text.vocab_size,
        "context_length": model.max_model_len,
        "layers": getattr(text, "num_hidden_layers", None),
        "hidden_size": getattr(text, "hidden_size", None),
        "intermediate_size": getattr(text, "intermediate_size", None),
        "attention_heads": heads,
        "key_value_heads": getattr(text, "num_key_value_heads", None) or heads,
        "head_dim": getattr(text, "head_dim", None),
        "tied_embeddings": bool(getattr(text, "tie_word_embeddings", False)),
        "bos_id": getattr(text, "bos_token_id", None),
        "eos_ids": ends,
        "pad_id": pad_id(text, ends),
        "reserved_ids": sorted(reserved),
        **_shape(model, ranks),
    }


def origin(spec: Mapping[str, Any], config: Any) -> dict[str, Any]:
    """Where the model came from: commit and hashes, `None` where there are none."""
    model = config.model_config
    folder = _folder(spec)
    nothing = dict.fromkeys(("config_sha256", "tokenizer_sha256", "weights_sha256"))
    return {
        "revision": getattr(model.hf_config, "_commit_hash", None),
        "custom_code": bool(
            model.trust_remote_code and getattr(model.hf_config, "auto_map", None)
        ),
        **(nothing if folder is None else directory_sha256(folder)),
    }


def load_memory(ranks: Ranks) -> dict[str, float | None]:
    """Sizes of a load in MB over all ranks: the weights, the cache, the peak."""
    held = held_bytes(ranks)
    return {
        "model_mb": None if held is None else held / 1e6,
        "kv_cache_pool_mb": sum(one["kv_cache_bytes"] for one in ranks) / 1e6,
        "load_peak_mb": total([one["peak_mb"] for one in ranks]),
        "rss_peak_mb": rss_peak_mb(),
    }


def held_bytes(ranks: Ranks) -> int | None:
    """Bytes of all weights; None where a kernel keeps narrow ones to itself."""
    if any(one["hidden_weights"] for one in ranks):
        return None
    return sum(sum(one["weights_bytes"].values()) for one in ranks)


def end_ids(model: Any) -> list[int]:
    """The ids that end a request: the generation config's, else the model's."""
    told = model.try_get_generation_config().get("eos_token_id")
    if told is None:
        told = getattr(model.hf_text_config, "eos_token_id", None)
    if told is None:
        return []
    return [told] if isinstance(told, int) else list(told)


def pad_id(text: Any, ends: Sequence[int]) -> int | None:
    """The id that fills rows up, of which vLLM has none; for the record."""
    found: int | None = getattr(text, "pad_token_id", None)
    return found if found is not None else next(iter(ends), None)


def _shape(model: Any, ranks: Ranks) -> dict[str, Any]:
    """What the closed forms need, checked against the weights that are there.

    Of several ranks each has a part, some have copies: there it stays unchecked, and
    so it does where a quantisation packs the weights.
    """
    alone = len(ranks) == 1
    held = held_bytes(ranks)
    tables = sum(one["table_bytes"] for one in ranks)
    sizes = {
        "decode_weights_mb": None if held is None else (held - tables) / 1e6,
        "kv_cache_element_bytes": ranks[0]["kv_cache_element_bytes"],
    }
    try:
        shape = from_config(model.hf_text_config.to_dict())
    except NoArchitecture as reason:
        return {**sizes, "closed_form": None, "no_closed_form": str(reason)}
    checked = alone and model.quantization is None
    if checked and ranks[0]["linear_weights"] != shape.linear_parameters:
        return {**sizes, "closed_form": None, "no_closed_form": "weights_differ"}
    told = "checked" if checked else "unchecked"
    return {**sizes, **shape.to_json(), "closed_form": told}


def _folder(spec: Mapping[str, Any]) -> Path | None:
    """Where the files of the model lie on this machine."""
    if Path(spec["model"]).is_dir():
        return Path(spec["model"])
    from transformers.utils import cached_file

    try:
        found = cached_file(
            spec["model"],
            "config.json",
            revision=spec["revision"],
            local_files_only=True,
        )
    except OSError:
        return None
    return Path(found).parent
