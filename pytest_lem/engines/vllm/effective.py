"""What vLLM settled on, in its own configuration and in its workers."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_lem.engines.contract import difference

# Arguments that the configuration has under another name.
_RENAMED = {
    "kv_cache_dtype": ("cache_config", "cache_dtype"),
    "scheduling_policy": ("scheduler_config", "policy"),
    "lora_target_modules": ("lora_config", "target_modules"),
}
# Turned into something else, or compared in another way.
_NOT_COMPARED = {
    "model",
    "dtype",
    "revision",
    "hf_overrides",
    "quantization_config",
    "compilation_config",
    "attention_config",
    "speculative_config",
    "enable_lora",
    "lora_dtype",
    "worker_extension_cls",
    "disable_log_stats",
    "load_format",
}
_NESTED = ("compilation_config", "attention_config", "speculative_config")
ABSENT = object()


def effective(
    arguments: Mapping[str, Any],
    config: Any,
    ranks: Sequence[Mapping[str, Any]],
    environment: Mapping[str, str],
    spec: Mapping[str, Any],
) -> dict[str, Any]:
    """The configuration as vLLM resolved it, and what its workers say they have.

    Where something is not as it was asked for, `not_as_requested` has a line for it.
    `precision` is what the arithmetic runs in, as far as that is known here.
    """
    first = ranks[0]
    dtype = config.model_config.dtype
    found = {
        **{key: _plain(value) for key, value in _arguments(arguments, config)},
        "dtype": _plain(config.model_config.dtype),
        "attention": first["attention"],
        "weights_dtypes": sorted(first["weights_bytes"]),
        "kv_cache_dtype": first["kv_cache_dtype"],
        "kv_cache_bytes": sum(one["kv_cache_bytes"] for one in ranks),
        "kv_cache_blocks": config.cache_config.num_gpu_blocks,
        "block_size": config.cache_config.block_size,
        "enable_prefix_caching": config.cache_config.enable_prefix_caching,
        "async_scheduling": _plain(config.scheduler_config.async_scheduling),
        "compilation_mode": first["compilation_mode"],
        "cudagraph_mode": first["cudagraph_mode"],
        "capture_sizes": first["capture_sizes"],
        "runner": first["runner"],
        "lora": _fields(config.lora_config),
        "speculation": _speculation(config.speculative_config),
        "in_process": environment.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "0",
        "environment": dict(environment),
        "ranks": len(ranks),
        "precision": _precision(config, ranks),
    }
    lines = [
        *differences(arguments, config),
        *_kernels(arguments, first, dtype),
        *_made_up(spec),
    ]
    return {**found, "not_as_requested": lines} if lines else found


def _made_up(spec: Mapping[str, Any]) -> Iterator[str]:
    """A line where a seed was asked for: vLLM makes weights up by one of its own."""
    if spec["weights"] == "random" and spec["weights_seed"]:
        yield (
            f"random weights of seed {spec['weights_seed']} were asked for and vLLM's "
            "own are what there is"
        )


def lookup(config: Any, name: str) -> Any:
    """The value of that name in a configuration; `ABSENT` if there is none.

    The draft model's own are left out: they are called like the model's.
    """
    fields = {field.name for field in dataclasses.fields(config)}
    if name in fields:
        return getattr(config, name)
    for each in sorted(fields - {"speculative_config"}):
        inner = getattr(config, each, None)
        if dataclasses.is_dataclass(inner) and not each.startswith("_"):
            found = lookup(inner, name)
            if found is not ABSENT:
                return found
    return ABSENT


def _arguments(arguments: Mapping[str, Any], config: Any) -> Iterator[tuple[str, Any]]:
    """What became of each argument that the configuration still has."""
    for key in arguments:
        if key in _NOT_COMPARED:
            continue
        part, name = _RENAMED.get(key, ("", key))
        found = lookup(getattr(config, part) if part else config, name)
        if found is not ABSENT:
            yield key, found


def differences(arguments: Mapping[str, Any], config: Any) -> Iterator[str]:
    """A line for each argument that the configuration has otherwise."""
    for key, found in _arguments(arguments, config):
        asked = arguments[key]
        if asked is not None and asked != "auto" and not _alike(asked, found):
            yield _line(key, asked, found)
    for section in _NESTED:
        made = getattr(config, section)
        for key, asked in (arguments.get(section) or {}).items():
            found = getattr(made, key, ABSENT)
            if found is ABSENT or not _alike(asked, found):
                yield _line(f"{section}.{key}", asked, _or_nothing(found))


def _kernels(
    arguments: Mapping[str, Any], first: Mapping[str, Any], dtype: Any
) -> Iterator[str]:
    """What the configuration believes and the workers know better."""
    asked = (arguments.get("attention_config") or {}).get("backend")
    if asked is not None and first["attention"] and [asked] != first["attention"]:
        yield _line("attention_config.backend", asked, ", ".join(first["attention"]))
    asked = arguments.get("dtype")
    if asked not in (None, "auto") and asked not in first["weights_bytes"]:
        yield _line("precision", asked, ", ".join(sorted(first["weights_bytes"])))
    asked = arguments.get("quantization")
    types = {*first["weights_bytes"]}
    if asked and types == {_plain(dtype)} and not first["hidden_weights"]:
        yield _line("quantization", asked, f"all weights in {', '.join(types)}")
    asked = arguments.get("gpu_memory_utilization")
    if asked is not None and first["device"] == "cpu":
        there = f"a cache of {first['kv_cache_bytes']} bytes in host memory"
        yield _line("gpu_memory_utilization", asked, there)


def _alike(asked: Any, found: Any) -> bool:
    """Whether a value is what was asked for, whatever type vLLM made of it."""
    if isinstance(asked, Mapping):
        return all(_alike(one, _inner(found, key)) for key, one in asked.items())
    one, other = _plain(asked), _plain(found)
    if isinstance(one, list) and isinstance(other, list):
        return sorted(map(str, one)) == sorted(map(str, other))
    return bool(one == other) or str(one).lower() == str(other).lower()


def _inner(found: Any, key: str) -> Any:
    if isinstance(found, Mapping):
        return found.get(key, ABSENT)
    return getattr(found, key, ABSENT)


def _or_nothing(found: Any) -> Any:
    return None if found is ABSENT else _plain(found)


def _line(path: str, asked: Any, found: Any) -> str:
    name = path if path == "precision" else f"vllm.{path}"
    return difference(name, asked, _plain(found))


def _plain(value: Any) -> Any:
    """JSON's own types: names of types and of members of enumerations."""
    if value is None or isinstance(value, (bool, float, str)):
        return value
    if isinstance(value, enum.Enum):
        return int(value) if isinstance(value, int) else value.name
    if isinstance(value, int):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one) for one in value]
    return str(value).removeprefix("torch.")


def _fields(config: Any) -> dict[str, Any] | None:
    """The plain fields of one of vLLM's configurations."""
    if config is None:
        return None
    names = [field.name for field in dataclasses.fields(config)]
    found = {name: getattr(config, name) for name in names}
    kinds = (bool, int, float, str, list)
    return {
        key: _plain(value)
        for key, value in found.items()
        if isinstance(value, kinds) and not key.startswith("_")
    }


def _speculation(config: Any) -> dict[str, Any] | None:
    if config is None:
        return None
    names = (
        "method",
        "model",
        "num_speculative_tokens",
        "prompt_lookup_max",
        "prompt_lookup_min",
    )
    return {name: _plain(getattr(config, name, None)) for name in names}


def _precision(config: Any, ranks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Types of weights (shares of their bytes), activations and products.

    The shares are null where a kernel keeps narrow weights to itself.
    """
    sizes: dict[str, int] = {}
    for rank in ranks:
        for name, size in rank["weights_bytes"].items():
            sizes[name] = sizes.get(name, 0) + size
    whole = sum(sizes.values())
    activations = _plain(config.model_config.dtype)
    quantisation = config.model_config.quantization
    shares = {name: size / whole for name, size in sorted(sizes.items())}
    hidden = any(rank["hidden_weights"] for rank in ranks)
    return {
        "weights": None if hidden else shares,
        "activations": activations,
        "compute": activations if quantisation is None else None,
        "quantisation": quantisation,
    }
