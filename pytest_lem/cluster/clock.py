"""The clock of one node, related to ours for as long as it is read."""

from __future__ import annotations

from collections import deque

from pytest_lem.analysis.clocks import Exchange, Relation, relate

# One of each second is kept, the quickest; drift is constant over that many of them.
_EACH_S = 1.0
_TOGETHER = 60
_REMEMBERED = 3600


class NodeClock:
    """Exchanges as they come; instants of the node's clock as instants of ours.

    What was read between two exchanges is told when the second is known: nothing is
    told of a time after the last.
    """

    def __init__(self) -> None:
        self._kept: deque[Exchange] = deque(maxlen=_TOGETHER)
        self._residuals: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)
        self._relation: Relation | None = None

    def note(self, exchange: Exchange) -> None:
        """Take in one exchange; they come in order of time."""
        kept = self._kept
        if kept and _second(kept[-1]) == _second(exchange):
            if exchange.half_s >= kept[-1].half_s:
                return
            kept.pop()
        kept.append(exchange)
        self._relation = relate([*kept])
        self._residuals.append(
            (exchange.at_s, self._relation.residual_s(exchange.at_s))
        )

    @property
    def relation(self) -> Relation:
        """As it is known now; there has been an exchange."""
        assert self._relation is not None
        return self._relation

    def residual_s(self, start_s: float, end_s: float) -> float:
        """How wrong instants of ours in that span may be, by what was known then."""
        told = [far_s for at_s, far_s in self._residuals if start_s <= at_s <= end_s]
        now = self.relation
        return max([*told, now.residual_s(now.last.at_s)])


def _second(exchange: Exchange) -> int:
    return int(exchange.at_s // _EACH_S)
