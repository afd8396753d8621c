"""The seats of a session: taken where nodes are, judged, taken anew, given up."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pytest_lem.cluster.actors import Actors
from pytest_lem.cluster.handshake import unlike, versions
from pytest_lem.cluster.nodes import Node, Wishes
from pytest_lem.cluster.seat import Event, Seat

_LOOK_S = 2.0
_CUT_S = 0.5
MOST_STARTS = 3
"""How often in a row a seat may fail, each time at something else, before it is given
up."""


Greet = Callable[[Node, Mapping[str, Any]], tuple[dict[str, Any], str, dict[str, str]]]
"""What the session on a node is told, its folder, its variables; by who is there."""


class Pool:
    """All seats; `left_out` has why nodes take no part, by their names.

    `nodes` are the living ones, as the head last said. `greet` gives what a
    session is started with, `judge` a line for each thing in which it is not like the
    driver.
    """

    def __init__(
        self,
        wishes: Wishes,
        *,
        greet: Greet,
        judge: Callable[[Mapping[str, Any]], list[str]],
        silence_s: float,
    ) -> None:
        self.left_out: dict[str, str] = {}
        self.seats: list[Seat] = []
        self.nodes: list[Node] = []
        self._wishes = wishes
        self._greet = greet
        self._judge = judge
        self._actors = Actors(silence_s)
        self._failed: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
        self._looked_s = 0.0
        self._within_s = 0.0

    def open(self, within_s: float) -> None:
        """Start all seats there are, and wait until each has joined or failed.

        A seat that is started later has as long to join.
        """
        self._actors.open()
        self._within_s = within_s
        until = time.monotonic() + within_s
        self._grow()
        while self.joining and time.monotonic() < until and not self.headless:
            for _ in self.events():
                pass
        for seat in self.joining:
            self.left_out[str(seat)] = self._slow(seat)

    @property
    def headless(self) -> str | None:
        """Why no cluster is left to run anything; None while there is one."""
        return self._actors.head.lost

    @property
    def idle(self) -> list[Seat]:
        """Those that have nothing to do."""
        return [one for one in self.seats if one.state == "idle"]

    @property
    def busy(self) -> list[Seat]:
        """Those that are at work."""
        return [one for one in self.seats if one.state == "busy"]

    @property
    def joined(self) -> list[Seat]:
        """Those that can work."""
        return [one for one in self.seats if one.state in ("idle", "busy")]

    @property
    def joining(self) -> list[Seat]:
        """Those whose place is not known yet."""
        return [one for one in self.seats if one.state in ("greeting", "starting")]

    @property
    def hopes(self) -> bool:
        """Whether there is a seat, or may soon be one."""
        return bool(self.joined or self.joining)

    def ask(self, seat: Seat, body: Mapping[str, Any]) -> None:
        """Have a seat run something; its answer is an event."""
        seat.state, seat.heard_s = "busy", time.monotonic()
        seat.runs = body["name"]
        with self._actors.head.reached():
            self._actors.ask(seat, "ask", "run", dict(body))

    def events(self) -> Iterator[Event]:
        """What has happened, after half a second at most where nothing does."""
        head = self._actors.head
        if head.cut:
            time.sleep(_CUT_S)
            return
        with head.reached():
            self._grow()
            for event in self._actors.heard(self.joined):
                yield from self._took(event)
            yield from self._overdue()

    def interrupt(self) -> None:
        """Have all that are at work end it."""
        self._actors.interrupt(self.busy)

    def give_up(self, seat: Seat, why: str) -> None:
        """End a seat at once, for good."""
        self._refuse(seat, [why])

    def drop(self, seat: Seat) -> None:
        """End a seat at once, and all that it started."""
        seat.state = "gone"
        self.seats = [one for one in self.seats if one is not seat]
        self._actors.kill(seat)

    def close(self, grace_s: float) -> list[tuple[Seat, dict[str, Any]]]:
        """End all; what each said last, but those that did not end in time."""
        ended = self._actors.end(self.idle, grace_s)
        for seat in self.seats:
            self.drop(seat)
        self._actors.close()
        return ended

    def _grow(self) -> None:
        """Start a seat wherever there is room for one."""
        now = time.monotonic()
        if now - self._looked_s < _LOOK_S:
            return
        self._looked_s = now
        taken = {(one.node.id, one.number) for one in self.seats}
        found = self._actors.head.nodes()
        self.nodes = found or self.nodes
        for node in found:
            if why := node.unfit(self._wishes):
                self.left_out[str(node)] = why
                continue
            for number in range(node.seats(self._wishes)):
                known = (node.id, number)
                if known not in taken and len(self._failed[known]) < MOST_STARTS:
                    resources = node.resources(self._wishes)
                    self.seats.append(self._actors.start(node, number, resources))

    def _took(self, event: Event) -> Iterator[Event]:
        seat, body = event.seat, event.body
        if event.kind == "lost":
            yield self._lost(seat, event.why)
        elif seat.state == "greeting":
            self._greeted(seat, body)
        elif seat.state == "starting":
            yield from self._started(seat, body)
        else:
            seat.state = "idle"
            self._failed.pop((seat.node.id, seat.number), None)
            yield event

    def _greeted(self, seat: Seat, body: dict[str, Any]) -> None:
        if bad := list(unlike(versions(), body["versions"])):
            self._refuse(seat, bad)
            return
        told, folder, variables = self._greet(seat.node, body)
        seat.state = "starting"
        self._actors.ask(seat, "start", told, folder, variables)

    def _started(self, seat: Seat, body: dict[str, Any]) -> Iterator[Event]:
        seat.facts = body
        bad = body.get("refused") or self._judge(body)
        if bad:
            self._refuse(seat, bad)
            return
        seat.state = "idle"
        seat.place = "+".join(body["gpus"]) or seat.node.id
        self.left_out.pop(str(seat), None)
        yield Event(seat=seat, kind="joined")

    def _refuse(self, seat: Seat, lines: list[str]) -> None:
        """Leave a node out for good: what is wrong with it does not pass."""
        more = f" (and {len(lines) - 1} more)" if lines[1:] else ""
        self.left_out[str(seat)] = f"{lines[0]}{more}{seat.files}"
        self._failed[seat.node.id, seat.number] |= {*map(str, range(MOST_STARTS))}
        self.drop(seat)

    def _lost(self, seat: Seat, why: str) -> Event:
        failed = self._failed[seat.node.id, seat.number]
        failed.add(seat.runs or f"start {len(failed)}")
        self.left_out[str(seat)] = why.splitlines()[0]
        self.drop(seat)
        self._looked_s = 0.0
        return Event(seat=seat, kind="lost", why=why)

    def _overdue(self) -> Iterator[Event]:
        """Give up those that take longer to join than they may."""
        now = time.monotonic()
        for seat in self.joining:
            if now - seat.began_s > self._within_s:
                yield self._lost(seat, self._slow(seat))

    def _slow(self, seat: Seat) -> str:
        if seat.state == "starting":
            return f"its session did not begin within {self._within_s:g} s"
        return (
            f"Ray gave nothing there within {self._within_s:g} s: others hold it, or "
            "the node does not answer"
        )
