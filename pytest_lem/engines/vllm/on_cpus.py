"""What vLLM's build for CPUs takes and then fails at, refused before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_lem.errors import HardwareError

_SEEN = "seen in 0.32.0"
_NARROW = ("fp8", "fp8_per_tensor")


def refuse_on_cpus(arguments: Mapping[str, Any]) -> None:
    """Raises HardwareError with what to say instead; other failures are vLLM's own."""
    if (arguments.get("pipeline_parallel_size") or 1) > 1:
        raise HardwareError(
            "vllm.pipeline_parallel_size above 1 needs GPUs: on CPUs vLLM starts and "
            f"its second stage fails at the first step ({_SEEN}); say "
            "vllm.tensor_parallel_size"
        )
    if arguments.get("distributed_executor_backend") == "ray" and not _has_ray_key():
        raise HardwareError(
            "vllm.distributed_executor_backend='ray' needs GPUs: vLLM's platform for "
            f"CPUs names no resource of Ray's, and does not start ({_SEEN}); say mp"
        )
    if (method := arguments.get("quantization")) in _NARROW:
        raise HardwareError(
            f"vllm.quantization={method!r} needs a GPU: vLLM has no such kernel for "
            f"CPUs ({_SEEN}); say fp8_per_channel, or load a GPTQ checkpoint"
        )


def _has_ray_key() -> bool:
    from vllm.platforms import current_platform

    return bool(current_platform.ray_device_key)
