"""What vLLM raises, as a kind of failure in one line."""

from __future__ import annotations

from typing import Any

from pytest_lem.errors import EngineLoadError, GenerationError, LemError, OutOfMemory

_FULL = (
    "out of memory",
    "OutOfMemoryError",
    "MemoryError",
    "DefaultCPUAllocator",
    "No available memory for the cache",
    "less than requested memory for kv",
    "less than desired GPU memory utilization",
)


def load_failure(model: str, error: Exception, cause: str | None) -> LemError:
    """Why vLLM does not start; `cause` is what a process of its own said, if any."""
    told = cause or line(error)
    if is_out_of_memory(error) or (cause and _is_full(cause)):
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
        if _is_full(str(error)):
            return True
        error = error.__cause__
    return False


def _is_full(text: str) -> bool:
    return any(words in text for words in _FULL)


def _detail(one: Any) -> str:
    where = ".".join(str(part) for part in one.get("loc", ()))
    text = str(one.get("msg", "")).removeprefix("Value error, ").splitlines()[0]
    return f"{where}: {text}" if where else text
