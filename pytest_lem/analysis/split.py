"""A window cut into prefill, decode and the rest, by its requests' token stamps.

Prefill runs from `sent` to the first token, decode from there to `ended`: the first
token belongs to prefill, so a request of n tokens decodes n - 1. Requests of one batch
share their stamps; their span is there once. What no request fills is `other`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from pytest_lem.analysis.latency import Stamps

Phase = Literal["prefill", "decode", "other"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a window; `span` is the place of the batch that fills it."""

    phase: Phase
    start_ns: int
    end_ns: int
    span: int | None = None

    @property
    def start_s(self) -> float:
        """Its start on the monotonic clock."""
        return self.start_ns / 1e9

    @property
    def end_s(self) -> float:
        """Its end."""
        return self.end_ns / 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Pieces that partition a window, in order, and who is in each span.

    `members` has the places of a span's requests among all of the window. Without
    pieces `reason` says why the window cannot be cut.
    """

    pieces: Sequence[Piece] = ()
    members: Sequence[Sequence[int]] = ()
    reason: str | None = None

    def of(self, phase: Phase) -> list[Piece]:
        """The pieces of one phase."""
        return [piece for piece in self.pieces if piece.phase == phase]

    def duration_s(self, phase: Phase) -> float:
        """Seconds of a phase in the window."""
        return sum(piece.end_ns - piece.start_ns for piece in self.of(phase)) / 1e9


def split(
    start_ns: int, end_ns: int, requests: Sequence[Stamps], *, left_out: int = 0
) -> Split:
    """The window cut at its requests' stamps; the first `left_out` of them are `other`.

    Not where it is empty, where a request has no stamps, where stamps lie outside the
    window or their own order, or where requests of different spans overlap: they share
    the device, and no instant belongs to one phase.
    """
    if end_ns <= start_ns:
        return Split(reason="empty_window")
    counted = requests[left_out:]
    if not counted or any(not one.token_ns for one in requests):
        return Split(reason="no_token_stamps")
    order = sorted({_span(one) for one in requests})
    if any(not start_ns <= a <= b <= c <= end_ns for a, b, c in order):
        return Split(reason="stamps_out_of_order")
    if any(former[2] > later[0] for former, later in pairwise(order)):
        return Split(reason="requests_overlap")
    members: dict[tuple[int, int, int], list[int]] = {}
    for place, one in enumerate(counted, left_out):
        members.setdefault(_span(one), []).append(place)
    pieces, at_ns = [], start_ns
    for span, (sent_ns, first_ns, ended_ns) in enumerate(sorted(members)):
        pieces += [
            Piece("other", at_ns, sent_ns),
            Piece("prefill", sent_ns, first_ns, span),
            Piece("decode", first_ns, ended_ns, span),
        ]
        at_ns = ended_ns
    pieces.append(Piece("other", at_ns, end_ns))
    return Split(
        pieces=[piece for piece in pieces if piece.end_ns > piece.start_ns],
        members=[members[one] for one in sorted(members)],
    )


def covered_ns(spans: Iterable[tuple[int, int]]) -> int:
    """The length of what spans cover together; where they overlap it counts once."""
    total_ns, until_ns = 0, 0
    for start_ns, end_ns in sorted(spans):
        total_ns += max(0, end_ns - max(start_ns, until_ns))
        until_ns = max(until_ns, end_ns)
    return total_ns


def _span(one: Stamps) -> tuple[int, int, int]:
    return one.sent_ns, one.token_ns[0], one.ended_ns
