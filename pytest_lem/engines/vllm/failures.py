"""What vLLM raises, as a kind of failure in one line."""

from __future__ import annotations

from typing import Any

from pytest_lem.errors import EngineLoadError, GenerationError, LemError, OutOfMemory

_FULL = ("out of memory", "DefaultCPUAllocator", "No available memory for the cache")


def load_failure(model: str, error: Exception) -> LemError:
    """Why vLLM does not start."""
    told = line(error)
    if is_out_of_memory(error):
        return OutOfMemory(told)
    return EngineLoadError(
        f"vLLM cannot load {model!r}: {told}", detail=str(error).strip()
    )


def generation_failure(error: Exception) -> LemError:
    """Why a pass failed; the engine is not used again."""
    told = line(error)
    if is_out_of_memory(error):
        return OutOfMemory(told)
    return GenerationError(f"vLLM failed to generate: {type(error).__name__}: {told}")


def line(error: BaseException) -> str:
    """An error in one line: of a validation what is wrong, and not how often."""
    details: Any = getattr(error, "errors", None)
    if callable(details):
        told = [_detail(one) for one in details()]
        return "; ".join(one for one in told if one) or type(error).__name__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether it, or its cause, says that memory is full."""
    while error is not None:
        names = {cls.__name__ for cls in type(error).__mro__}
        if names & {"MemoryError", "OutOfMemoryError"}:
            return True
        if any(words in str(error) for words in _FULL):
            return True
        error = error.__cause__
    return False


def _detail(one: Any) -> str:
    where = ".".join(str(part) for part in one.get("loc", ()))
    text = str(one.get("msg", "")).removeprefix("Value error, ").splitlines()[0]
    return f"{where}: {text}" if where else text
