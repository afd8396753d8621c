"""The places of a cluster: what of an experiment may run in which of them."""

import json
from collections.abc import Mapping, Sequence
from typing import Literal

from pytest_lem.cluster.nodes import Node, Wishes
from pytest_lem.cluster.seat import Seat
from pytest_lem.machine.kind import kind
from pytest_lem.spec.placement import Placement

Affinity = Literal["place", "any"]
ELSEWHERE = "another machine"
"""The home of what is to be run anew."""


def wishes_for(placement: Placement) -> Wishes:
    """What the node of an experiment is to have."""
    named = {} if placement.node is None else {"node": placement.node}
    return Wishes(
        gpus=0, gpu_type=placement.gpu_type, labels={**placement.labels, **named}
    )


class Map:
    """The places that have joined, as they are known since.

    `wishes` are those of placements, by their names. By the `affinity` "any" places of
    one kind are one home: equal GPUs, drivers, power limits and CPU.
    """

    def __init__(self, wishes: Mapping[str, Wishes], affinity: Affinity) -> None:
        self._wishes = wishes
        self._affinity = affinity
        self._nodes: dict[str, Node] = {}
        self._kinds: dict[str, str] = {}

    def add(self, seat: Seat) -> None:
        """Take down a seat that has joined."""
        self._nodes[seat.place] = seat.node
        told = kind(seat.facts["environment"])
        self._kinds[seat.place] = json.dumps(told, sort_keys=True)

    def home(self, place: str) -> str:
        """What the cycles of an experiment have in common that runs there."""
        return place if self._affinity == "place" else self._kinds[place]

    def fits(self, place: str, wants: str) -> bool:
        """Whether what wants that may run there."""
        return self.suits(self._nodes[place], wants)

    def suits(self, node: Node, wants: str) -> bool:
        """Whether what wants that may run on that node."""
        return self.against(node, wants) is None

    def against(self, node: Node, wants: str) -> str | None:
        """Why what wants that may not run on that node; None where it may."""
        return node.unfit(self._wishes[wants]) if wants else None

    def earlier(self, ran: Sequence[str], wants: str) -> str:
        """Where that is at home which ran in those places in an earlier session."""
        known = [place for place in ran if place in self._nodes]
        fit = all(self.fits(place, wants) for place in known)
        if not (ran and fit) or (wants and len(known) < len(ran)):
            return ELSEWHERE
        if self._affinity == "any":
            return self.home(known[0]) if known else ELSEWHERE
        return ELSEWHERE if ran[1:] else ran[0]
