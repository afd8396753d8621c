"""The actors of a session: started where nodes are, watched, started anew, ended."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_lem.cluster.handshake import unlike, versions
from pytest_lem.cluster.keeper import Keeper
from pytest_lem.cluster.nodes import Node, Wishes, living

_LOOK_S = 2.0
_PING_S = 5.0
_WAIT_S = 0.5
MOST_STARTS = 3
"""How often in a row a seat may fail before it is given up."""


@dataclass(slots=True, eq=False, kw_only=True)
class Seat:
    """An actor on a node, and the session that it keeps.

    `place` is what cycles of one experiment have in common, known when the session has
    collected. `facts` are what that said of itself, `holds` how many cycles it has of
    each experiment.
    """

    node: Node
    number: int
    actor: Any
    state: Literal["greeting", "starting", "idle", "busy", "gone"] = "greeting"
    place: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    holds: dict[str, int] = field(default_factory=dict)
    heard_s: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        return str(self.node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What became of a seat: it `joined`, gave an `answer`, or is `lost`.

    `body` is the answer, `why` says why it is lost.
    """

    seat: Seat
    kind: Literal["joined", "answer", "lost"]
    body: dict[str, Any] = field(default_factory=dict)
    why: str = ""


Greet = Callable[[Node, Mapping[str, Any]], tuple[dict[str, Any], str, dict[str, str]]]
"""What the session on a node is told, its folder, its variables; by who is there."""


class Pool:
    """All seats; `left_out` has why nodes take no part, by their names.

    `greet` gives what a session is started with, `judge` a line for each thing in
    which it is not like the driver.
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
        self._wishes = wishes
        self._greet = greet
        self._judge = judge
        self._silence_s = silence_s
        self._refs: dict[Any, Seat] = {}
        self._pings: dict[Any, Seat] = {}
        self._failed: Counter[tuple[str, int]] = Counter()
        self._looked_s = 0.0

    def open(self, within_s: float) -> None:
        """Start all seats there are, and wait until each has joined or failed."""
        until = time.monotonic() + within_s
        self._grow()
        while self._joining and time.monotonic() < until:
            for _ in self.events():
                pass

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
    def _joining(self) -> list[Seat]:
        return [one for one in self.seats if one.state in ("greeting", "starting")]

    @property
    def hopes(self) -> bool:
        """Whether there is a seat, or may soon be one."""
        return bool(self.joined or self._joining)

    def is_coming(self, place: str) -> bool:
        """Whether a seat of that place is there, or one may turn out to be."""
        return bool(self._joining) or any(it.place == place for it in self.joined)

    def ask(self, seat: Seat, body: Mapping[str, Any]) -> None:
        """Have a seat run something; its answer is an event."""
        seat.state, seat.heard_s = "busy", time.monotonic()
        self._refs[seat.actor.ask.remote("run", dict(body))] = seat

    def events(self) -> Iterator[Event]:
        """What has happened, after half a second at most where nothing does."""
        import ray

        self._grow()
        self._ping()
        waiting = [*self._refs, *self._pings]
        if not waiting:
            time.sleep(_WAIT_S)
            return
        ready, _ = ray.wait(waiting, num_returns=1, timeout=_WAIT_S)
        for ref in ready:
            if ref in self._pings:
                yield from self._heard(ref, self._pings.pop(ref))
            elif ref in self._refs:
                yield from self._answered(ref, self._refs.pop(ref))
        yield from self._silent()

    def interrupt(self) -> None:
        """Have all that are at work end it."""
        for seat in self.busy:
            seat.actor.interrupt.remote()

    def drop(self, seat: Seat) -> None:
        """End a seat at once, and all that it started."""
        import ray

        seat.state = "gone"
        for known in (self._refs, self._pings):
            for ref in [ref for ref, one in known.items() if one is seat]:
                del known[ref]
        self.seats = [one for one in self.seats if one is not seat]
        ray.kill(seat.actor)

    def close(self, grace_s: float) -> list[tuple[Seat, dict[str, Any]]]:
        """End all; what each said last, but those that did not end in time."""
        import ray

        refs = {one.actor.end.remote(grace_s): one for one in self.idle}
        ended: list[tuple[Seat, dict[str, Any]]] = []
        if refs:
            ready, _ = ray.wait([*refs], num_returns=len(refs), timeout=4 * grace_s)
            for ref in ready:
                try:
                    ended.append((refs[ref], ray.get(ref)))
                except ray.exceptions.RayError:
                    continue  # it ended before it could say so
        for seat in self.seats:
            self.drop(seat)
        return ended

    def _grow(self) -> None:
        """Start a seat wherever there is room for one."""
        now = time.monotonic()
        if now - self._looked_s < _LOOK_S:
            return
        self._looked_s = now
        taken = {(one.node.id, one.number) for one in self.seats}
        for node in living():
            if why := node.unfit(self._wishes):
                self.left_out[str(node)] = why
                continue
            for number in range(node.seats(self._wishes)):
                known = (node.id, number)
                if known not in taken and self._failed[known] < MOST_STARTS:
                    self._start(node, number)

    def _start(self, node: Node, number: int) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actor = (
            ray.remote(Keeper)
            .options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
                max_concurrency=3,
                **node.resources(self._wishes),
            )
            .remote()
        )
        seat = Seat(node=node, number=number, actor=actor)
        self.seats.append(seat)
        self._refs[actor.hello.remote()] = seat

    def _answered(self, ref: Any, seat: Seat) -> Iterator[Event]:
        import ray

        try:
            body: dict[str, Any] = ray.get(ref)
        except ray.exceptions.RayError as error:
            yield self._lost(seat, _said(error))
            return
        seat.heard_s = time.monotonic()
        if "died" in body:
            yield self._lost(seat, f"its session: {body['died']}")
        elif seat.state == "greeting":
            self._greeted(seat, body)
        elif seat.state == "starting":
            yield from self._started(seat, body)
        else:
            seat.state = "idle"
            self._failed[seat.node.id, seat.number] = 0
            yield Event(seat=seat, kind="answer", body=body)

    def _greeted(self, seat: Seat, body: dict[str, Any]) -> None:
        if bad := list(unlike(versions(), body["versions"])):
            self._refuse(seat, bad)
            return
        told, folder, variables = self._greet(seat.node, body)
        seat.state = "starting"
        self._refs[seat.actor.start.remote(told, folder, variables)] = seat

    def _started(self, seat: Seat, body: dict[str, Any]) -> Iterator[Event]:
        bad = body.get("refused") or self._judge(body)
        if bad:
            self._refuse(seat, bad)
            return
        seat.state, seat.facts = "idle", body
        seat.place = "+".join(body["gpus"]) or seat.node.id
        self.left_out.pop(str(seat), None)
        yield Event(seat=seat, kind="joined")

    def _refuse(self, seat: Seat, lines: list[str]) -> None:
        """Leave a node out for good: what is wrong with it does not pass."""
        more = f" (and {len(lines) - 1} more)" if lines[1:] else ""
        self.left_out[str(seat)] = f"{lines[0]}{more}"
        self._failed[seat.node.id, seat.number] = MOST_STARTS
        self.drop(seat)

    def _lost(self, seat: Seat, why: str) -> Event:
        self._failed[seat.node.id, seat.number] += 1
        self.left_out[str(seat)] = why.splitlines()[0]
        self.drop(seat)
        self._looked_s = 0.0
        return Event(seat=seat, kind="lost", why=why)

    def _ping(self) -> None:
        now, waiting = time.monotonic(), {id(one) for one in self._pings.values()}
        for seat in self.joined:
            if now - seat.heard_s > _PING_S and id(seat) not in waiting:
                self._pings[seat.actor.hello.remote()] = seat

    def _heard(self, ref: Any, seat: Seat) -> Iterator[Event]:
        import ray

        try:
            ray.get(ref)
            seat.heard_s = time.monotonic()
        except ray.exceptions.RayError as error:
            yield self._lost(seat, _said(error))

    def _silent(self) -> Iterator[Event]:
        now = time.monotonic()
        for seat in [*self._pings.values()]:
            if now - seat.heard_s > self._silence_s:
                why = f"gave no sign of life for {self._silence_s:g} s"
                yield self._lost(seat, why)


def _said(error: BaseException) -> str:
    """What Ray says of the end of an actor, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith(("The actor", "the actor"))]
    return " ".join((causes or lines)[-2:]).rstrip(".") or type(error).__name__
