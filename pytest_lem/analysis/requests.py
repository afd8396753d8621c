"""One request as it was served: its times and its tokens, with nothing derived."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_lem.analysis.failures import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Times are nanoseconds of one monotonic clock, tokens the engine's own counts.

    `due_ns` is None where all were sent at once, `token_ns` empty where no token was
    timed. `outcome` is how it ended; `left_out` says that it warmed up and is in no
    statistics of latency.
    """

    input_tokens: int
    output_tokens: int
    sent_ns: int
    ended_ns: int
    token_ns: Sequence[int]
    due_ns: int | None = None
    finish_reason: Literal["length", "stop", "unknown"] = "unknown"
    outcome: Outcome = "completed"
    left_out: bool = False

    @property
    def failed(self) -> bool:
        """Whether it did not end as it was to."""
        return self.outcome != "completed"
