"""Requests of a pass that failed: marked, counted, and how many of them may be."""

from typing import Any

from pytest_lem.analysis.failures import counted, failed_share, told
from pytest_lem.analysis.latency import Stamps
from pytest_lem.engines import Completion, Generation
from pytest_lem.errors import GenerationError


def stamps_of(one: Completion) -> Stamps:
    """A request's times, and whether they are those of one that failed."""
    failed = one.outcome != "completed"
    return Stamps(one.sent_ns, one.ended_ns, one.token_ns, failed)


def outcomes_of(generation: Generation) -> dict[str, Any]:
    """How many requests ended in which way, with the first errors."""
    return counted(
        (one.outcome, one.error, one.output_tokens) for one in generation.completions
    )


def require_completed(name: str, generation: Generation, limit_pct: float) -> None:
    """Raise GenerationError where a larger share of its requests failed."""
    found = outcomes_of(generation)
    if 100 * failed_share(found) > limit_pct:
        raise GenerationError(
            f"{name}: {told(found)}; lem_max_failed allows {limit_pct:g} %"
        )
