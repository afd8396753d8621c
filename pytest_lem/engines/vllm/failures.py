"""What vLLM raises, as a kind of failure in one line."""

from __future__ import annotations

from pytest_lem.engines.contract import is_out_of_memory, one_line
from pytest_lem.errors import (
    EngineLoadError,
    GenerationError,
    HardwareError,
    LemError,
    OutOfMemory,
)

_FULL = (
    "out of memory",
    "OutOfMemoryError",
    "MemoryError",
    "DefaultCPUAllocator",
    "No available memory for the cache",
    "less than requested memory for kv",
    "less than desired GPU memory utilization",
)


_OLD = ("not supported for the current GPU", "with compute capability of at least")


def load_failure(model: str, error: Exception, cause: str | None) -> LemError:
    """Why vLLM does not start; `cause` is what a process of its own said, if any."""
    told = cause or one_line(error)
    if is_out_of_memory(error, _FULL) or (cause and any(w in cause for w in _FULL)):
        return OutOfMemory(told)
    if any(words in told for words in _OLD):
        return HardwareError(f"vLLM cannot load {model!r} on this GPU: {told}")
    return EngineLoadError(
        f"vLLM cannot load {model!r}: {told}", detail=str(error).strip()
    )


def generation_failure(error: Exception) -> LemError:
    """Why a pass failed; the engine is not used again."""
    told = one_line(error)
    if is_out_of_memory(error, _FULL):
        return OutOfMemory(told)
    return GenerationError(f"vLLM failed to generate: {type(error).__name__}: {told}")
