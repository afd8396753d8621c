"""How another machine's clock lies to ours, by stamps that both exchanged.

Each exchange bounds the difference for certain, however its way there and back was
shared: an answer was not taken before it was asked for, nor heard before it was given.
The quickest bounds it best. Two of them apart in time bound the drift as well, which is
taken as constant between them; what the others contradict of it widens the residual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Each kernel slews its monotonic clock by at most 500 ppm (`man adjtimex`).
MOST_DRIFT = 1e-3
LEAST_APART_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A question and its answer: asked and heard by our clock, else by theirs.

    All in seconds.
    """

    asked_s: float
    taken_s: float
    answered_s: float
    heard_s: float

    @property
    def at_s(self) -> float:
        """The middle of it, by our clock."""
        return (self.asked_s + self.heard_s) / 2

    @property
    def offset_s(self) -> float:
        """Their clock less ours, most likely."""
        return (self.taken_s + self.answered_s) / 2 - self.at_s

    @property
    def half_s(self) -> float:
        """How far from that it may be: half of the time on the way, and the drift."""
        took_s = self.heard_s - self.asked_s
        on_the_way_s = took_s - (self.answered_s - self.taken_s)
        return max(on_the_way_s, 0.0) / 2 + MOST_DRIFT * took_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """Their clock by ours, as a line through the quickest exchanges of two times.

    They are the same one where nothing tells of the drift, which is then anything that
    a kernel may do. `misfit_s` is by how much the others are off the line at worst.
    """

    first: Exchange
    last: Exchange
    exchanges: int
    misfit_s: float = 0.0

    @property
    def drift(self) -> float:
        """Seconds by which their clock gains on ours in a second."""
        apart_s = self.last.at_s - self.first.at_s
        if not apart_s:
            return 0.0
        found = (self.last.offset_s - self.first.offset_s) / apart_s
        return min(max(found, -MOST_DRIFT), MOST_DRIFT)

    def offset_s(self, ours_s: float) -> float:
        """Their clock less ours at an instant of ours."""
        return self.last.offset_s + self.drift * (ours_s - self.last.at_s)

    def ours_s(self, theirs_s: float) -> float:
        """What our clock showed when theirs showed that."""
        since_s = theirs_s - self.last.at_s - self.last.offset_s
        return self.last.at_s + since_s / (1 + self.drift)

    def residual_s(self, ours_s: float) -> float:
        """How wrong `ours_s` may be at an instant of ours."""
        near = min(self.first, self.last, key=lambda one: abs(ours_s - one.at_s))
        far_s = abs(ours_s - near.at_s)
        most_s = near.half_s + MOST_DRIFT * far_s
        apart_s = self.last.at_s - self.first.at_s
        if apart_s:
            part = (ours_s - self.first.at_s) / apart_s
            drawn_s = abs(1 - part) * self.first.half_s + abs(part) * self.last.half_s
            most_s = min(most_s, drawn_s)
        return most_s + self.misfit_s

    def to_json(self) -> dict[str, Any]:
        """Plain values for the record, as of the last exchange that counts."""
        return {
            "offset_s": self.last.offset_s,
            "drift_ppm": 1e6 * self.drift,
            "residual_s": self.residual_s(self.last.at_s),
            "exchanges": self.exchanges,
        }


def relate(exchanges: Sequence[Exchange]) -> Relation:
    """The relation of two clocks by exchanges, in order of time; at least one."""
    middle_s = (exchanges[0].at_s + exchanges[-1].at_s) / 2
    early = _quickest([one for one in exchanges if one.at_s <= middle_s])
    late = _quickest([one for one in exchanges if one.at_s >= middle_s])
    if late.at_s - early.at_s < LEAST_APART_S:
        early = late = _quickest(exchanges)
    line = Relation(first=early, last=late, exchanges=len(exchanges))
    misfit_s = max(_off(line, one) for one in exchanges)
    return Relation(first=early, last=late, exchanges=len(exchanges), misfit_s=misfit_s)


def _quickest(exchanges: Sequence[Exchange]) -> Exchange:
    return min(exchanges, key=lambda one: one.half_s)


def _off(line: Relation, one: Exchange) -> float:
    """By how much an exchange's bounds and those of the line miss each other."""
    apart_s = abs(one.offset_s - line.offset_s(one.at_s))
    return max(apart_s - one.half_s - line.residual_s(one.at_s), 0.0)
