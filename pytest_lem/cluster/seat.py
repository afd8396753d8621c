"""A seat: an actor on a node, and what is known of it; what becomes of seats."""

import time
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_lem.cluster.nodes import Node


@dataclass(slots=True, eq=False, kw_only=True)
class Seat:
    """An actor on a node, and the session that it keeps.

    `place` is what cycles of one experiment have in common, known when the session has
    collected. `facts` are what that said of itself, `holds` how many cycles it has of
    each experiment, `runs` is the name of what it runs, or ran last. `began_s` and
    `heard_s` are when it was started and last heard of, in seconds of our clock.
    """

    node: Node
    number: int
    actor: Any
    state: Literal["greeting", "starting", "idle", "busy", "gone"] = "greeting"
    place: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    holds: dict[str, int] = field(default_factory=dict)
    heard_s: float = field(default_factory=time.monotonic)
    began_s: float = field(default_factory=time.monotonic)
    runs: str = ""

    def __str__(self) -> str:
        return str(self.node)

    @property
    def files(self) -> str:
        """Where what it left on its node is, as the end of a line; empty of nothing."""
        said = {"log": "its log is", "scratch": "its files are in"}
        known = [
            f"{it} {self.facts[key]}" for key, it in said.items() if key in self.facts
        ]
        return "".join(f"; {one}" for one in known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What became of a seat: it `joined`, gave an `answer`, or is `lost`.

    `body` is the answer, `why` says why it is lost.
    """

    seat: Seat
    kind: Literal["joined", "answer", "lost"]
    body: dict[str, Any] = field(default_factory=dict)
    why: str = ""
