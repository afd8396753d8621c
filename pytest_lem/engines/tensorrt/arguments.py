"""From a spec to the arguments of the installed TensorRT-LLM."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pytest_lem.engines.contract import one_line
from pytest_lem.engines.tensorrt.drafting import drafting
from pytest_lem.engines.tensorrt.sampling import KEYS as OF_SAMPLING
from pytest_lem.engines.tensorrt.steps import KEPT
from pytest_lem.errors import ConfigError
from pytest_lem.spec.nearest import unknown
from pytest_lem.workload.adapters import located

OF_BUILDS = (
    "backend",
    "engine_path",
    "engine_cache_dir",
    "force_rebuild",
    "quantization",
    "kv_cache_quant_algo",
    "kv_cache_type",
    "strongly_typed",
    "opt_batch_size",
    "opt_num_tokens",
    "remove_input_padding",
)
"""Keys of the section that are about compiled engines, and no arguments of `LLM`."""

_OBJECTS = {
    "kv_cache_config": "KvCacheConfig",
    "scheduler_config": "SchedulerConfig",
    "cuda_graph_config": "CudaGraphConfig",
    "torch_compile_config": "TorchCompileConfig",
}
_SPREAD = {
    "moe_config": (
        "MoeConfig",
        {"moe_backend": "backend", "moe_max_num_tokens": "max_num_tokens"},
    ),
    "nvfp4_gemm_config": (
        "Nvfp4GemmConfig",
        {"nvfp4_gemm_backends": "allowed_backends"},
    ),
}
_OF_LORA = ("max_lora_rank", "max_loras", "max_cpu_loras")
_APART = {*OF_SAMPLING, *OF_BUILDS, *_OF_LORA, "extra", "speculative_config"} | {
    key for _, keys in _SPREAD.values() for key in keys
}
_ALWAYS = {
    "return_perf_metrics": True,
    "enable_iter_perf_stats": True,
    "max_stats_len": KEPT,
}
"""What is said unless the section says otherwise, where the installed one knows it."""


def engine_arguments(spec: Mapping[str, Any], *, known: Collection[str]) -> Any:
    """Keyword arguments for `LLM`, sections of their own as TensorRT-LLM's objects.

    `known` are those that the installed one takes, of this backend. Raises ConfigError
    for others.
    """
    section = spec["engine"]
    given = {k: v for k, v in section.items() if v is not None and k not in _APART}
    extra = (section.get("extra") or {}).get("engine") or {}
    found = {
        **_model(spec, given),
        **{key: value for key, value in _ALWAYS.items() if key in known},
        **given,
        **_lora(spec, section),
        **extra,
    }
    for key, name in _OBJECTS.items():
        if isinstance(found.get(key), Mapping):
            found[key] = native(name, found[key], f"tensorrt.{key}")
    for key, (name, keys) in _SPREAD.items():
        values = {to: section[one] for one, to in keys.items() if one in section}
        if values:
            found[key] = native(name, values, f"tensorrt.{key}")
    if drafts := section.get("speculative_config"):
        name, fields = drafting(drafts, weights=spec["weights"])
        found["speculative_config"] = native(
            name, fields, "tensorrt.speculative_config"
        )
    refuse_unknown(found, known, "tensorrt", extra)
    return found


def refuse_unknown(
    arguments: Iterable[str],
    known: Collection[str],
    where: str,
    extra: Collection[str] = (),
) -> None:
    """Refuse what the installed object does not take; its own fields decide."""
    from tensorrt_llm import __version__

    for key in arguments:
        if key in known:
            continue
        if key in extra:
            within = "tensorrt.extra.engine."
            raise ConfigError(unknown("key", key, known, within=within))
        msg = f"{where}.{key}: TensorRT-LLM {__version__} has no such argument"
        raise ConfigError(msg)


def native(name: str, values: Mapping[str, Any], where: str) -> Any:
    """One of TensorRT-LLM's objects, by its name; ConfigError for what it refuses."""
    kind = lookup(name)
    if kind is None:
        from tensorrt_llm import __version__

        raise ConfigError(f"{where}: TensorRT-LLM {__version__} has no {name}")
    given = {key: value for key, value in values.items() if value is not None}
    refuse_unknown(given, fields_of(kind), where)
    try:
        return kind(**given)
    except Exception as error:
        raise ConfigError(f"{where}: {one_line(error)}") from error


def lookup(name: str) -> Any:
    """A class that the installed TensorRT-LLM takes arguments in; None without it."""
    return getattr(importlib.import_module("tensorrt_llm.llmapi.llm_args"), name, None)


def fields_of(kind: Any) -> Collection[str]:
    """What a class of TensorRT-LLM's takes."""
    if dataclasses.is_dataclass(kind):
        return [one.name for one in dataclasses.fields(kind)]
    return list(kind.model_fields)


def _model(spec: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        "model": spec["model"],
        "dtype": spec["precision"] or "float16",
        "trust_remote_code": spec["trust_remote_code"],
        "revision": spec["revision"],
    }
    if spec["weights"] == "checkpoint":
        return found
    if given.get("load_format", "dummy") != "dummy":
        msg = (
            f"tensorrt.load_format={given['load_format']!r} needs a checkpoint: these "
            "weights are made up"
        )
        raise ConfigError(msg)
    return {**found, "load_format": "dummy"}


def _lora(spec: Mapping[str, Any], section: Mapping[str, Any]) -> dict[str, Any]:
    """Room for adapters: for the one of the spec, and as much more as was asked for."""
    adapter = spec.get("adapter")
    values = {key: section[key] for key in _OF_LORA if section.get(key) is not None}
    if adapter is not None:
        values = {"lora_dir": [str(located(adapter).folder)], "max_loras": 1, **values}
    if not values:
        return {}
    made = native("LoraConfig", values, "tensorrt.lora_config")
    return {"enable_lora": True, "lora_config": made}
