"""What the loaded objects say of each parameter, against what was asked for."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from transformers import GenerationConfig
from transformers.generation.configuration_utils import (
    ALL_STATIC_CACHE_IMPLEMENTATIONS,
)

from pytest_lem.engines.contract import difference
from pytest_lem.engines.transformers.distributed import sharded
from pytest_lem.errors import ConfigError

# What torch and the model say of these is what they do; others leave no such trace.
_COMPARED = (
    "use_kernels",
    "experts_implementation",
    "allow_tf32",
    "float32_matmul_precision",
    "num_threads",
    "sdpa_kernel",
    "autocast_enabled",
    "autocast_dtype",
    "alloc_conf",
)
_AUTOMATIC = ("auto", "balanced", "balanced_low_0", "sequential")


def effective(
    spec: Mapping[str, Any],
    model: Any,
    torch_state: Mapping[str, Any],
    generation: GenerationConfig,
) -> dict[str, Any]:
    """The configuration as the loaded objects have it.

    `torch_state` is what torch says of itself, `generation` what a section sets. Where
    something is not as it was asked for, `not_as_requested` has a line for it.
    """
    merged = _merged(model, generation)
    found = {
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "attn_implementation": model.config._attn_implementation,
        "generation": merged,
        "use_cache": merged.get("use_cache"),
        "prefix_caching": _prefix_caching(spec["engine"]),
        "padding_side": "left",
        "tf32": torch_state["allow_tf32"],
        **torch_state,
        **_of_model(model),
        "training": model.training,
        "weights": spec["weights"],
        "weights_seed": spec["weights_seed"] if spec["weights"] == "random" else None,
        "trust_remote_code": spec["trust_remote_code"],
    }
    lines = [*_differences(spec, found), *_generation(generation, merged)]
    return {**found, "not_as_requested": lines} if lines else found


def self_compiled(generation: Mapping[str, Any], model: Any) -> dict[str, Any] | None:
    """How the library compiles decoding by itself; None where it does not.

    It does so on GPUs, where the cache has a fixed size, by the merged configuration.
    """
    fixed = generation.get("cache_implementation") in ALL_STATIC_CACHE_IMPLEMENTATIONS
    on_gpu = model.device.type == "cuda"
    if generation.get("disable_compile") or not (fixed and on_gpu):
        return None
    told = generation.get("compile_config") or model._default_compile_config().to_dict()
    return {"by": "cache_implementation", **told}


def _prefix_caching(section: Mapping[str, Any]) -> str:
    """Continuous batching may share pages, of a cache that each pass makes anew."""
    asked = section.get("continuous_batching") or {}
    shared = asked.get("enabled") and asked.get("allow_block_sharing") is not False
    return "emptied" if shared else "off"


def _of_model(model: Any) -> dict[str, Any]:
    quantised = getattr(model.config, "quantization_config", None)
    if quantised is not None and not isinstance(quantised, dict):
        quantised = json.loads(quantised.to_json_string(use_diff=False))
    placed = getattr(model, "hf_device_map", None)
    return {
        "device_map": {key: str(place) for key, place in placed.items()}
        if placed
        else None,
        "use_kernels": bool(getattr(model, "use_kernels", False)),
        "experts_implementation": _experts(model),
        "fused_modules": sum(
            type(module).__name__.startswith("Fused") for module in model.modules()
        ),
        "quantization_config": quantised,
        "distributed_config": sharded(model),
        "offloaded_share": _offloaded(model),
    }


def _offloaded(model: Any) -> float:
    """The share of parameters that lie on no device which computes.

    Those on the disk, or behind a hook that fetches them, are on none at all here.
    """
    sizes: dict[str, int] = {}
    for each in model.parameters():
        kind = each.device.type
        sizes[kind] = sizes.get(kind, 0) + each.numel()
    away = sizes.get("meta", 0) + (sizes.get("cpu", 0) if "cuda" in sizes else 0)
    return away / sum(sizes.values())


def _experts(model: Any) -> str | None:
    """How experts are multiplied, where there are some: the config says so anyway."""
    names = (type(module).__name__ for module in model.modules())
    if not any("Experts" in name for name in names):
        return None
    found: str | None = getattr(model.config, "_experts_implementation", None)
    return found


def _merged(model: Any, generation: GenerationConfig) -> dict[str, Any]:
    """What the library makes of a generation config, the model's own and defaults."""
    asked = copy.deepcopy(generation)
    # The library holds it against the decoder's options, which no load knows.
    asked.num_return_sequences = None
    try:
        whole, _ = model._prepare_generation_config(asked)
    except ValueError as error:
        raise ConfigError(f"transformers: {error}") from error
    if generation.num_return_sequences is not None:
        whole.num_return_sequences = generation.num_return_sequences
    every = json.loads(whole.to_json_string(use_diff=False))
    return {key: value for key, value in every.items() if value is not None}


def _differences(spec: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """A line for each parameter of loading and of torch that is not what was asked."""
    section = spec["engine"]
    if spec["precision"] not in (None, found["dtype"]):
        yield difference("precision", spec["precision"], found["dtype"])
    for key in _COMPARED:
        if section.get(key) not in (None, found[key]):
            yield difference(f"transformers.{key}", section[key], found[key])
    if section.get("fusion_config") and not found["fused_modules"]:
        yield difference(
            "transformers.fusion_config", section["fusion_config"], "nothing"
        )
    yield from _placement(section.get("device_map"), found)
    yield from _quantisation(section.get("quantization_config") or {}, found)
    shards = (section.get("distributed_config") or {}).get("tp_size") or 1
    cut = found["distributed_config"] or {"tp_size": 1, "tensors_cut": 0}
    if shards > 1 and (cut["tp_size"] != shards or not cut["tensors_cut"]):
        yield difference("transformers.distributed_config.tp_size", shards, cut)


def _placement(asked: Any, found: Mapping[str, Any]) -> Iterator[str]:
    """Whole models have no map of their own, and all lie on one device."""
    placed = found["device_map"] or {"": found["device"]}
    if isinstance(asked, dict):
        wanted = {key: _device(value) for key, value in asked.items()}
        there = {key: _device(placed.get(key)) for key in wanted}
        whole = {*map(_device, placed.values())} == {*wanted.values()}
        if wanted != there and not (len(placed) == 1 and whole):
            yield difference("transformers.device_map", asked, placed)
    elif asked is not None and asked not in _AUTOMATIC:
        places = {*map(_device, placed.values())}
        if places != {_device(asked)}:
            yield difference("transformers.device_map", asked, placed)


def _device(value: Any) -> str:
    """`0`, `cuda` and `cuda:0` are one."""
    text = str(value)
    if text.isdecimal():
        return f"cuda:{text}"
    return "cuda:0" if text == "cuda" else text


def _quantisation(asked: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    own = found["quantization_config"] or {}
    method = asked.get("method")
    if method not in (None, own.get("quant_method")):
        yield difference(
            "transformers.quantization_config.method", method, own.get("quant_method")
        )
    for key, value in asked.items():
        if key in ("method", "options") or value is None:
            continue
        there = str(own.get(key)).removeprefix("torch.")
        if there != str(value):
            yield difference(f"transformers.quantization_config.{key}", value, there)


def _generation(asked: GenerationConfig, merged: Mapping[str, Any]) -> Iterator[str]:
    every = json.loads(asked.to_json_string(use_diff=False))
    for key, value in every.items():
        if key == "transformers_version" or value is None:
            continue
        if merged.get(key) != value:
            yield difference(f"GenerationConfig.{key}", value, merged.get(key))
