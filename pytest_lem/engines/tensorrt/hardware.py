"""The GPUs of a run, and what TensorRT-LLM cannot do on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_lem.errors import ConfigError, EngineLoadError, HardwareError

LEAST = (8, 0)
"""Compute capability that TensorRT-LLM begins with."""

_FORMATS = {"FP8": (8, 9), "NVFP4": (10, 0)}
_UNSUPPORTED = "V100 (7.0), T4 and RTX 20 (7.5), and all before them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU as CUDA shows it to this process."""

    name: str
    capability: tuple[int, int]


def gpus() -> list[Gpu]:
    """The GPUs that this process sees, in CUDA's order."""
    import torch

    if not torch.cuda.is_available():
        return []
    told = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [
        Gpu(
            name=one.name,
            capability=(one.major, one.minor),
        )
        for one in told
    ]


def check(
    found: Sequence[Gpu],
    section: Mapping[str, Any],
    checkpoint: str | None,
    *,
    expected: int,
) -> list[str]:
    """Refuse what these GPUs cannot do, before anything is loaded; the flags of a run.

    `checkpoint` is the algorithm that the model is quantised by, `expected` how many
    GPUs the run has. Raises HardwareError; ConfigError for more processes than GPUs,
    and EngineLoadError where CUDA shows fewer GPUs than there are.
    """
    if len(found) < expected:
        msg = f"{expected} GPUs are needed and torch sees {len(found)}"
        raise EngineLoadError(msg)
    if not found:
        msg = "TensorRT-LLM needs an NVIDIA GPU, and this run has none"
        raise HardwareError(msg)
    for gpu in found:
        if gpu.capability < LEAST:
            msg = (
                f"TensorRT-LLM needs a GPU of compute capability {_told(LEAST)}, and "
                f"{gpu.name} has {_told(gpu.capability)}; it cannot use {_UNSUPPORTED}"
            )
            raise HardwareError(msg)
        for path, kind, instead in _narrow(section, checkpoint):
            least = _FORMATS[kind]
            if gpu.capability < least:
                msg = (
                    f"{path} needs a GPU of compute capability {_told(least)}, and "
                    f"{gpu.name} has {_told(gpu.capability)}; {instead}"
                )
                raise HardwareError(msg)
    ranks = ranks_of(section)
    if ranks > len(found):
        msg = (
            "tensorrt.tensor_parallel_size x pipeline_parallel_size x "
            f"context_parallel_size is {ranks} and the run has {len(found)} GPUs; over "
            "several nodes it needs a launcher of its own, which is not run here"
        )
        raise ConfigError(msg)
    return ["gpus_unused"] if ranks < len(found) else []


def ranks_of(section: Mapping[str, Any]) -> int:
    """Processes that share a model."""
    names = ("tensor_parallel_size", "pipeline_parallel_size", "context_parallel_size")
    first, second, third = (section.get(name) or 1 for name in names)
    return int(first * second * third)


def _narrow(
    section: Mapping[str, Any], checkpoint: str | None
) -> Iterator[tuple[str, str, str]]:
    """Where a narrow type was asked for, which one it is, and what to say instead."""
    method = (section.get("quantization") or {}).get("method")
    cache = (section.get("kv_cache_config") or {}).get("dtype")
    for path, value, instead in (
        ("tensorrt.quantization.method", method, "say int8_weight_only"),
        ("tensorrt.kv_cache_config.dtype", cache, "say auto"),
        (
            "tensorrt.kv_cache_quant_algo",
            section.get("kv_cache_quant_algo"),
            "say INT8",
        ),
        ("the model's quantisation", checkpoint, "name an INT8 or INT4 checkpoint"),
    ):
        for kind in _FORMATS:
            if value is not None and str(value).upper().startswith(kind):
                yield f"{path}={value!r}", kind, instead


def _told(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
