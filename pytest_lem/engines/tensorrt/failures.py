"""What TensorRT-LLM raises, as a kind of failure in one line."""

from __future__ import annotations

from typing import Any

from pytest_lem.engines.contract import first_line, is_out_of_memory
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
        return OutOfMemory(line(error))
    return EngineLoadError(
        f"TensorRT-LLM cannot load {model!r}: {line(error)}", detail=str(error).strip()
    )


def generation_failure(error: BaseException) -> LemError:
    """Why a pass failed; the engine is not used again."""
    if is_out_of_memory(error, _FULL):
        return OutOfMemory(line(error))
    told = f"{type(error).__name__}: {line(error)}"
    return GenerationError(f"TensorRT-LLM failed to generate: {told}")


def line(error: BaseException) -> str:
    """An error in one line: of a validation what is wrong, and not how often."""
    details: Any = getattr(error, "errors", None)
    if not callable(details):
        return first_line(error)
    return "; ".join(_detail(one) for one in details()) or type(error).__name__


def _detail(one: Any) -> str:
    where = ".".join(str(part) for part in one.get("loc", ()))
    text = str(one.get("msg", "")).removeprefix("Value error, ").partition("\n")[0]
    return f"{where}: {text}" if where else text
