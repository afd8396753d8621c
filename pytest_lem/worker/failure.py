"""What a worker answers when a request fails: the error's kind, a line, the traceback.

Standard library only; errors of the engine's libraries are told by their names.
"""

from __future__ import annotations

import traceback

from pytest_lem.engines.contract import is_out_of_memory
from pytest_lem.errors import (
    EngineLoadError,
    EngineNotAvailable,
    GenerationError,
    LemError,
    OutOfMemory,
)
from pytest_lem.worker.protocol import Message, ProtocolError

_STEP_KINDS: dict[str, type[LemError]] = {
    "hello": EngineNotAvailable,
    "load": EngineLoadError,
    "tokenize": GenerationError,
    "chat": GenerationError,
    "detokenize": GenerationError,
    "generate": GenerationError,
}


def failure(request: Message, error: BaseException) -> Message:
    """The answer to a request that failed."""
    told = _named(request.kind, error)
    text = "".join(traceback.format_exception(error))
    body = {
        "error": told.kind,
        "message": told.message,
        "traceback": f"{told.detail}\n{text}" if told.detail else text,
    }
    return Message(kind="error", id=request.id, body=body)


def _named(step: str, error: BaseException) -> LemError:
    """The failure by its kind, in one line."""
    if isinstance(error, ProtocolError):  # what the engine gave cannot travel
        return _STEP_KINDS.get(step, ProtocolError)(error.message)
    if isinstance(error, LemError):
        return error
    lines = str(error).strip().splitlines()
    msg = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    if is_out_of_memory(error):
        return OutOfMemory(msg)
    if isinstance(error, ImportError):
        return EngineNotAvailable(msg)
    return _STEP_KINDS.get(step, LemError)(msg)
