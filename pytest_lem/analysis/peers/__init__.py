"""What other tools would say of the same stamps, by their own formulas and names.

Each module is one tool, written from its source; `docs/metrics.md` names the files and
versions. Nothing here is a metric of ours.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from pytest_lem.analysis.requests import Request

NO_STAMPS = "no_token_stamps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A window as such a tool would have seen it: the requests that count, in order.

    `limits` are those of each request in milliseconds, empty where there are none.
    `rate_rps` and `burstiness` are of the law that requests were sent by, None where
    there was no such law; `concurrency` is how many were kept in flight, if that was
    fixed.
    """

    requests: Sequence[Request]
    limits: Mapping[str, float]
    model: str = ""
    rate_rps: float | None = None
    burstiness: float | None = None
    concurrency: int | None = None

    @property
    def start_ns(self) -> int:
        """When the first request was sent."""
        return min(one.sent_ns for one in self.requests)

    @property
    def end_ns(self) -> int:
        """When the last request ended."""
        return max(one.ended_ns for one in self.requests)

    @property
    def duration_s(self) -> float:
        """From the first request sent to the last one's end."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def stamped(self) -> bool:
        """Whether tokens have times."""
        return any(one.token_ns for one in self.requests)

    @property
    def answered(self) -> list[Request]:
        """Requests that did not fail, and gave a token."""
        return [one for one in self.requests if one.output_tokens and not one.failed]

    @property
    def scheduled(self) -> bool:
        """Whether requests had times to be sent at."""
        return all(one.due_ns is not None for one in self.requests)

    def no_verdict(self, known: Collection[str]) -> str | None:
        """Why a tool that knows these limits cannot say which requests were good."""
        if not self.limits:
            return "no_slo"
        if unknown := sorted(self.limits.keys() - known):
            return f"no_such_limit_there: {', '.join(unknown)}"
        needed = self.limits.keys() - {"e2e_ms"}
        return NO_STAMPS if needed and not self.stamped else None


Told = tuple[dict[str, Any], dict[str, str]]
"""What a tool would say, and why what is null is null, by its path."""

Peer = Callable[[Run], Told]


def chunks(request: Request) -> list[tuple[int, int]]:
    """(when, how many tokens) of each event: tokens of one event share their time."""
    return [(at_ns, len([*same])) for at_ns, same in groupby(request.token_ns)]


def gaps_ns(request: Request) -> list[int]:
    """From each event with tokens to the next."""
    return [later - earlier for (earlier, _), (later, _) in pairwise(chunks(request))]


def first_ns(request: Request) -> int:
    """From sent to the first token, of a request that has one."""
    return int(request.token_ns[0]) - request.sent_ns


def last_ns(request: Request) -> int:
    """From sent to the last token; to the end where tokens have no times."""
    ended_ns = request.token_ns[-1] if request.token_ns else request.ended_ns
    return int(ended_ns) - request.sent_ns
