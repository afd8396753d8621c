"""What TensorRT-LLM raises, as a kind of failure in one line."""

from __future__ import annotations

from pytest_lem.engines.contract import is_out_of_memory, one_line
from pytest_lem.errors import EngineLoadError, GenerationError, LemError, OutOfMemory

_FULL = (
    "out of memory",
    "OutOfMemory",
    "cudaErrorMemoryAllocation",
    "Failed to allocate",
    "No available memory",
)


def load_failure(model: str, error: BaseException) -> LemError:
    """Why TensorRT-LLM does not start."""
    if is_out_of_memory(error, _FULL):
        return OutOfMemory(one_line(error))
    msg = f"TensorRT-LLM cannot load {model!r}: {one_line(error)}"
    return EngineLoadError(msg, detail=str(error).strip())


def generation_failure(error: BaseException) -> LemError:
    """Why a pass failed; the engine is not used again."""
    if is_out_of_memory(error, _FULL):
        return OutOfMemory(one_line(error))
    told = f"{type(error).__name__}: {one_line(error)}"
    return GenerationError(f"TensorRT-LLM failed to generate: {told}")
