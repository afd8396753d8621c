"""Signs of life of seats: asked for where none was heard for a while."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

from pytest_lem.cluster.seat import Seat

_ASKED_S = 5.0


class Pulse:
    """What seats were asked and did not answer yet; `refs` are Ray's of the answers."""

    def __init__(self, silence_s: float) -> None:
        self.silence_s = silence_s
        self._asked: dict[Any, tuple[Seat, float]] = {}

    @property
    def refs(self) -> list[Any]:
        """What answers come by."""
        return [*self._asked]

    def ask(self, seats: Iterable[Seat]) -> None:
        """Ask those that were not heard of for a while, each once at a time."""
        now, asked = time.monotonic(), {id(seat) for seat, _ in self._asked.values()}
        for seat in seats:
            if now - seat.heard_s > _ASKED_S and id(seat) not in asked:
                self._asked[seat.actor.hello.remote()] = seat, now

    def take(self, ref: Any) -> Seat | None:
        """Who gave that answer, if it is one."""
        seat, _ = self._asked.pop(ref, (None, 0.0))
        return seat

    def forget(self, seat: Seat) -> None:
        """Wait for it no more."""
        self._asked = {k: one for k, one in self._asked.items() if one[0] is not seat}

    def silent(self) -> Iterator[Seat]:
        """Those that did not answer in time; an answer that waits to be read is one."""
        import ray

        now = time.monotonic()
        for ref, (seat, asked_s) in [*self._asked.items()]:
            if now - asked_s > self.silence_s and not ray.wait([ref], timeout=0)[0]:
                yield seat
