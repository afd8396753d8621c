"""What transformers raises while it generates, as kinds of failure of this house."""

from __future__ import annotations

from pytest_lem.engines.contract import first_line
from pytest_lem.engines.transformers import loading
from pytest_lem.errors import GenerationError, LemError, OutOfMemory

FAILURES = (
    RuntimeError,
    ValueError,
    TypeError,
    IndexError,
    ImportError,
    AssertionError,
    AttributeError,
)
"""What a call of `generate` may raise for what it was asked."""


def generation_failure(error: Exception) -> LemError:
    """What `generate` raised, as a kind of failure."""
    if loading.host_memory_is_full(error):
        return OutOfMemory(first_line(error))
    return GenerationError(
        f"transformers failed to generate: {type(error).__name__}: {first_line(error)}"
    )
