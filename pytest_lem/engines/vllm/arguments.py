"""From a spec to the arguments of the installed vLLM's engine."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from typing import Any

from pytest_lem.engines.vllm.adapters import KEYS as OF_ADAPTERS
from pytest_lem.engines.vllm.adapters import lora_arguments
from pytest_lem.engines.vllm.sampling import KEYS as OF_SAMPLING
from pytest_lem.engines.vllm.speculation import speculative_arguments
from pytest_lem.errors import ConfigError
from pytest_lem.spec.nearest import unknown

_PROBES = "pytest_lem.engines.vllm.probe"
SEQUENCES = 256
STEP_TOKENS = 8192
CPU_CACHE_BYTES = 2**30

_NOT_OF_ENGINE = {
    *OF_SAMPLING,
    *OF_ADAPTERS,
    "request_priorities",
    "in_process",
    "extra",
}
_SIZES = ("kv_cache_memory_bytes", "num_gpu_blocks_override")
_OURS = ("worker_extension_cls",)


def engine_arguments(spec: Mapping[str, Any], *, gpus: int) -> dict[str, Any]:
    """Keyword arguments for `EngineArgs`, of a batch engine and a streaming one alike.

    What makes the two differ by default is always said: how many requests and tokens
    run at once. Raises ConfigError for what this vLLM does not take.
    """
    section = spec["engine"]
    given = {
        key: _without_none(value)
        for key, value in section.items()
        if key not in _NOT_OF_ENGINE and value is not None
    }
    extra = (section.get("extra") or {}).get("engine") or {}
    if taken := next((key for key in _OURS if key in extra), None):
        raise ConfigError(f"vllm.extra.engine names {taken!r}, which is pytest-lem's")
    found = {
        **_model(spec, given, gpus=gpus),
        **_scheduling(given),
        "disable_log_stats": False,
        "worker_extension_cls": f"{_PROBES}.Probe",
        **_cache(given, gpus=gpus),
        **lora_arguments(spec, given, gpus=gpus),
        **given,
        **_speculation(spec, given),
        **extra,
    }
    refuse_unknown(found, extra)
    _refuse_absent(found)
    return found


def refuse_unknown(arguments: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    """Refuse what the installed `EngineArgs` does not take; the signature decides."""
    from vllm import __version__
    from vllm.engine.arg_utils import EngineArgs

    known = [field.name for field in dataclasses.fields(EngineArgs)]
    for key in arguments:
        if key in known:
            continue
        if key in extra:
            raise ConfigError(unknown("key", key, known, within="vllm.extra.engine."))
        msg = f"vllm.{key}: vLLM {__version__} has no such argument"
        raise ConfigError(msg)


def _model(
    spec: Mapping[str, Any], given: Mapping[str, Any], *, gpus: int
) -> dict[str, Any]:
    found = {
        "model": spec["model"],
        "dtype": spec["precision"] or ("float16" if gpus else "float32"),
        "trust_remote_code": spec["trust_remote_code"],
        "revision": spec["revision"],
    }
    if spec["weights"] == "checkpoint":
        return found
    if given.get("load_format", "dummy") != "dummy":
        msg = (
            f"vllm.load_format={given['load_format']!r} needs a checkpoint: these "
            "weights are made up"
        )
        raise ConfigError(msg)
    return {**found, "load_format": "dummy"}


def _scheduling(given: Mapping[str, Any]) -> dict[str, Any]:
    """How much runs at once; vLLM's defaults depend on GPU and entry point.

    Whole prompts have to fit into a step that may not cut them: vLLM knows how long.
    """
    sequences = given.get("max_num_seqs", SEQUENCES)
    found = {"max_num_seqs": sequences}
    if given.get("enable_chunked_prefill", True):
        found["max_num_batched_tokens"] = max(STEP_TOKENS, sequences)
    return found


def _cache(given: Mapping[str, Any], *, gpus: int) -> dict[str, Any]:
    """On CPUs 1 GiB unless told otherwise: vLLM would take most of the memory.

    A share of a GPU's memory is no share of the host's.
    """
    if gpus or any(key in given for key in _SIZES):
        return {}
    return {"kv_cache_memory_bytes": CPU_CACHE_BYTES}


def _speculation(spec: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    asked = given.get("speculative_config")
    if asked is None:
        return {}
    made = speculative_arguments(asked, weights=spec["weights"])
    return {"speculative_config": made}


def _refuse_absent(arguments: Mapping[str, Any]) -> None:
    """Refuse what needs a package that is not there, before anything is started."""
    ray = arguments.get("distributed_executor_backend") == "ray"
    if ray and importlib.util.find_spec("ray") is None:
        msg = (
            "vllm.distributed_executor_backend='ray' needs ray, which is not "
            "installed: pip install 'pytest-lem[ray]', or say mp"
        )
        raise ConfigError(msg)
    method = arguments.get("quantization")
    if method is not None:
        from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS

        if method not in QUANTIZATION_METHODS:
            raise ConfigError(
                unknown("vllm.quantization", method, QUANTIZATION_METHODS)
            )


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: one for key, one in value.items() if one is not None}
    return value
