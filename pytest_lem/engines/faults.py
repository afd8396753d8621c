"""What becomes of single requests in the fake engine: as scripted, and by their limits.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pytest_lem.analysis.failures import Outcome
from pytest_lem.engines import GenerateOptions
from pytest_lem.engines.limits import End, limit

Fault = Literal["none", "stall", "error", "stop", "cancel", "break"]

BROKEN = "the script breaks the engine"

_ENDS: dict[Fault, tuple[Outcome, str | None]] = {
    "none": ("completed", None),
    "error": ("engine_error", "the script fails in this request"),
    "break": ("engine_error", BROKEN),
    "stop": ("completed", None),
    "cancel": ("cancelled", "the script cancels this request"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What became of a request: when it was sent, ended, and had each token."""

    sent_ns: int
    end_ns: int
    token_ns: Sequence[int]
    outcome: Outcome = "completed"
    error: str | None = None


def fault_of(script: Sequence[Fault], place: int) -> Fault:
    """What happens to that request of a pass; nothing to those the script lacks."""
    return script[place] if place < len(script) else "none"


def with_fault(one: Course, fault: Fault, options: GenerateOptions) -> Course | None:
    """The course of a request with a fault after half of its tokens, within its limits.

    None for one that stalls and that no limit ends.
    """
    if fault != "none":
        made = one.token_ns[: len(one.token_ns) // 2]
        last_ns = made[-1] if made else one.sent_ns
        if fault == "stall":
            return _stalled(replace(one, token_ns=made), last_ns, options)
        outcome, error = _ENDS[fault]
        one = replace(one, end_ns=last_ns, token_ns=made, outcome=outcome, error=error)
    end = limit(options, one.sent_ns, None)
    return one if end is None or one.end_ns <= end.at_ns else _cut(one, end)


def until_broken(done: Sequence[Course]) -> list[Course]:
    """Requests that were sent when one of them broke the engine; none if none did."""
    breaks_ns = [one.end_ns for one in done if one.error == BROKEN]
    if not breaks_ns:
        return []
    end = End(min(breaks_ns), "engine_error", BROKEN)
    return [
        one if one.end_ns <= end.at_ns else _cut(one, end)
        for one in done
        if one.sent_ns < end.at_ns
    ]


def _stalled(one: Course, last_ns: int, options: GenerateOptions) -> Course | None:
    """Ended by the first of its limits."""
    end = limit(options, one.sent_ns, last_ns if options.stamps else None)
    return None if end is None else _cut(one, end)


def _cut(one: Course, end: End) -> Course:
    return replace(
        one,
        end_ns=end.at_ns,
        token_ns=[token_ns for token_ns in one.token_ns if token_ns <= end.at_ns],
        outcome=end.outcome,
        error=end.error,
    )
