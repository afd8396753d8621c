"""The actors of seats: started, asked, heard and ended, all of it by Ray."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_lem.cluster.connect import is_client
from pytest_lem.cluster.head import Head
from pytest_lem.cluster.keeper import Keeper
from pytest_lem.cluster.nodes import Node
from pytest_lem.cluster.pulse import Pulse
from pytest_lem.cluster.seat import Event, Seat

_WAIT_S = 0.5
_LEFT_WITHIN_S = 2.0


class Actors:
    """What was asked of them and is not answered yet; `head` is where Ray has them."""

    def __init__(self, silence_s: float) -> None:
        self.head = Head(None)
        self._pulse = Pulse(silence_s)
        self._refs: dict[Any, Seat] = {}
        self._leaving: list[Any] = []

    def open(self) -> None:
        """Watch the head of the cluster that we are connected to."""
        import ray

        if not is_client(ray):
            self.head = Head(ray.get_runtime_context().gcs_address)

    def start(self, node: Node, number: int, resources: Mapping[str, Any]) -> Seat:
        """A new seat on that node, whose actor says who it is when it is there."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actor = (
            ray.remote(Keeper)
            .options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
                max_concurrency=3,
                **resources,
            )
            .remote()
        )
        seat = Seat(node=node, number=number, actor=actor)
        self.ask(seat, "hello")
        return seat

    def ask(self, seat: Seat, method: str, *arguments: Any) -> None:
        """Have an actor do something; what it says of it is heard."""
        self._refs[getattr(seat.actor, method).remote(*arguments)] = seat

    def heard(self, joined: Iterable[Seat]) -> Iterator[Event]:
        """What was answered or is lost, after half a second at most where nothing is.

        Those that have `joined` are asked for signs of life.
        """
        import ray

        self._pulse.ask(joined)
        waiting = [*self._refs, *self._pulse.refs]
        if not waiting:
            time.sleep(_WAIT_S)
            return
        ready, _ = ray.wait(waiting, num_returns=1, timeout=_WAIT_S)
        for ref in ready:
            if seat := self._pulse.take(ref):
                event = _answer(ref, seat)
                yield from [event] if event.kind == "lost" else []
            elif ref in self._refs:
                yield _answer(ref, self._refs.pop(ref))
        for seat in self._pulse.silent():
            why = f"gave no sign of life for {self._pulse.silence_s:g} s"
            yield Event(seat=seat, kind="lost", why=why)

    def interrupt(self, seats: Iterable[Seat]) -> None:
        """Have them end what they run."""
        with self.head.reached():
            for seat in [] if self.head.cut else seats:
                seat.actor.interrupt.remote()

    def kill(self, seat: Seat) -> None:
        """End an actor at once, and all that it started; what it was asked is void."""
        import ray

        self._refs = {ref: one for ref, one in self._refs.items() if one is not seat}
        self._pulse.forget(seat)
        if self.head.cut:
            return
        with self.head.reached():
            if self.head.lost:
                self._leaving.append(seat.actor.leave.remote())
            else:
                ray.kill(seat.actor)

    def end(
        self, seats: Iterable[Seat], grace_s: float
    ) -> list[tuple[Seat, dict[str, Any]]]:
        """End their sessions; what each said last, but those that were late."""
        import ray

        ended: list[tuple[Seat, dict[str, Any]]] = []
        with self.head.reached():
            idle = [] if self.head.cut else seats
            refs = {one.actor.end.remote(grace_s): one for one in idle}
            ready: list[Any] = []
            if refs:
                ready, _ = ray.wait([*refs], num_returns=len(refs), timeout=4 * grace_s)
            for ref in ready:
                try:
                    ended.append((refs[ref], ray.get(ref)))
                except ray.exceptions.RayError:
                    continue  # it ended before it could say so
        return ended

    def close(self) -> None:
        """Wait shortly for those that were told to leave by themselves."""
        import ray

        if self._leaving:
            ray.wait(
                self._leaving, num_returns=len(self._leaving), timeout=_LEFT_WITHIN_S
            )


def _answer(ref: Any, seat: Seat) -> Event:
    """What an actor said, or how it was lost."""
    import ray

    try:
        body: dict[str, Any] = ray.get(ref)
    except ray.exceptions.RayError as error:
        return Event(seat=seat, kind="lost", why=_said(error))
    seat.heard_s = time.monotonic()
    if "died" in body:
        return Event(seat=seat, kind="lost", why=f"its session: {body['died']}")
    return Event(seat=seat, kind="answer", body=body)


def _said(error: BaseException) -> str:
    """What Ray says of the end of an actor, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith(("The actor", "the actor"))]
    return " ".join((causes or lines)[-2:]).rstrip(".") or type(error).__name__
