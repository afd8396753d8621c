"""When a request has taken too long, by the limits of options.

Standard library only: engines use it in their workers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from pytest_lem.analysis.failures import Outcome
from pytest_lem.engines import GenerateOptions

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class End:
    """An instant at which a request is to be ended, as what, and why in one line."""

    at_ns: int
    outcome: Outcome
    error: str


def limit(options: GenerateOptions, sent_ns: int, last_ns: int | None) -> End | None:
    """The first limit that a request will reach; None where it has none.

    `last_ns` is when its last token came; None where none did, or tokens are not timed.
    """
    ends = []
    if (most_s := options.request_timeout_s) is not None:
        error = f"ended at request_timeout_s={most_s:g}"
        ends.append(End(sent_ns + round(1e9 * most_s), "timeout", error))
    if last_ns is not None and (most_s := options.token_timeout_s) is not None:
        error = f"ended at token_timeout_s={most_s:g}"
        ends.append(End(last_ns + round(1e9 * most_s), "token_timeout", error))
    return min(ends, key=_at_ns, default=None)


class Overdue:
    """Finds requests that are over their limits; looks no oftener than one can be.

    `next_ns` is when to look again; None where there is no limit.
    """

    def __init__(self, options: GenerateOptions) -> None:
        known = [options.request_timeout_s]
        if options.stamps:
            known.append(options.token_timeout_s)
        shortest_s = min((one for one in known if one is not None), default=None)
        self._options = options
        self._shortest_ns = None if shortest_s is None else round(1e9 * shortest_s)
        self.next_ns = None if shortest_s is None else 0

    def found(
        self, flying: Iterable[tuple[K, int, int | None]], now_ns: int
    ) -> list[tuple[K, End]]:
        """Those of the requests that are to be ended now.

        Each is told by any key, when it was sent, and when its last token came.
        """
        if self.next_ns is None or self._shortest_ns is None or now_ns < self.next_ns:
            return []
        # Whatever is sent or comes later has at least this long.
        self.next_ns = now_ns + self._shortest_ns
        over = []
        for key, sent_ns, last_ns in flying:
            timed_ns = last_ns if self._options.stamps else None
            end = limit(self._options, sent_ns, timed_ns)
            if end is None:
                continue
            if end.at_ns <= now_ns:
                over.append((key, end))
            else:
                self.next_ns = min(self.next_ns, end.at_ns)
        return over


def _at_ns(end: End) -> int:
    return end.at_ns
