"""What TensorRT-LLM settled on, in its own arguments."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_lem.engines.contract import difference
from pytest_lem.engines.tensorrt.checkpoint import algorithm_of
from pytest_lem.engines.tensorrt.environment import in_force

# Turned into something else, or an object of the caller's own.
_NOT_COMPARED = {
    "model",
    "revision",
    "lora_config",
    "speculative_config",
    "build_config",
}
_TOLD = (
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "max_batch_size",
    "max_num_tokens",
    "max_input_len",
    "max_seq_len",
    "max_beam_width",
    "enable_chunked_prefill",
    "attn_backend",
    "stream_interval",
    "disable_overlap_scheduler",
    "kv_cache_config",
    "scheduler_config",
    "cuda_graph_config",
    "torch_compile_config",
    "moe_config",
    "enable_autotuner",
    "enable_iter_perf_stats",
    "dtype",
    "load_format",
)


def effective(
    arguments: Mapping[str, Any],
    args: Any,
    checkpoint: Mapping[str, Any] | None,
    spec: Mapping[str, Any],
) -> dict[str, Any]:
    """The arguments as TensorRT-LLM resolved them, and the quantisation in force.

    Where something is not as it was asked for, `not_as_requested` has a line for it.
    """
    told = {*_TOLD, *arguments} - {"model", "extra"}
    found = {
        key: plain(getattr(args, key))
        for key in sorted(told)
        if getattr(args, key, None) is not None
    }
    quantisation = quantised(args, checkpoint)
    found |= {
        "attention": [found["attn_backend"]] if "attn_backend" in found else None,
        "cuda_graphs": "cuda_graph_config" in found,
        "quantisation": quantisation,
        "precision": _precision(str(arguments["dtype"]), quantisation),
        "environment": in_force(),
    }
    lines = [*_differences(arguments, args), *_made_up(spec)]
    return {**found, "not_as_requested": lines} if lines else found


def quantised(args: Any, checkpoint: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Algorithm, cache and layers left out, as the engine has them; None without any.

    `declared` is what the checkpoint says of itself.
    """
    config = getattr(args, "quant_config", None)
    algorithm = plain(getattr(config, "quant_algo", None))
    cache = plain(getattr(config, "kv_cache_quant_algo", None))
    declared = algorithm_of(checkpoint)
    if (algorithm, cache, declared) == (None, None, None):
        return None
    layers = (checkpoint or {}).get("quantized_layers") or {}
    return {
        "algorithm": algorithm,
        "kv_cache_algorithm": cache,
        "excluded": plain(getattr(config, "exclude_modules", None)),
        "layers": {str(name): plain(one) for name, one in layers.items()} or None,
        "declared": declared,
    }


def plain(value: Any) -> Any:
    """JSON's own types: of members of enumerations their names, of objects fields."""
    if isinstance(value, enum.Enum):
        return value.name if not isinstance(value, str) else value.value
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(one) for one in value]
    if names := _fields(value):
        return {name: plain(getattr(value, name)) for name in names}
    return str(value)


def _fields(value: Any) -> list[str]:
    if dataclasses.is_dataclass(value):
        return [one.name for one in dataclasses.fields(value)]
    return list(getattr(type(value), "model_fields", ()))


def _differences(arguments: Mapping[str, Any], args: Any) -> Iterator[str]:
    """A line for each argument that the engine has otherwise."""
    for key, asked in arguments.items():
        if key in _NOT_COMPARED or asked is None or not hasattr(args, key):
            continue
        wanted, there = plain(asked), plain(getattr(args, key))
        for path, one, other in _unequal(f"tensorrt.{key}", wanted, there):
            yield difference(path.replace("tensorrt.dtype", "precision"), one, other)


def _unequal(path: str, asked: Any, found: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(asked, Mapping) and isinstance(found, Mapping):
        for key, one in asked.items():
            if one is not None:
                yield from _unequal(f"{path}.{key}", one, found.get(key))
    elif isinstance(asked, list) and isinstance(found, list):
        if sorted(map(str, asked)) != sorted(map(str, found)):
            yield path, asked, found
    elif asked != found and str(asked).lower() != str(found).lower():
        yield path, asked, found


def _made_up(spec: Mapping[str, Any]) -> Iterator[str]:
    """A line where a seed was asked for: TensorRT-LLM has one of its own."""
    if spec["weights"] == "random" and spec["weights_seed"]:
        yield (
            f"random weights of seed {spec['weights_seed']} were asked for and "
            "TensorRT-LLM's own are what there is"
        )


def _precision(dtype: str, quantisation: Mapping[str, Any] | None) -> dict[str, Any]:
    """Types of weights (shares), activations and products, as far as they are known."""
    algorithm = (quantisation or {}).get("algorithm") or (quantisation or {}).get(
        "declared"
    )
    return {
        "weights": {dtype: 1.0} if algorithm is None else None,
        "activations": dtype,
        "compute": dtype if algorithm is None else None,
        "quantisation": algorithm,
    }
