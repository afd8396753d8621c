"""Who sends requests to an engine: when they are due, or when others have ended.

Standard library only: engines use it in their workers.
"""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from pytest_lem.engines import GenerateOptions
from pytest_lem.engines.dispatch import Dispatch
from pytest_lem.engines.limits import End, Overdue

T = TypeVar("T")


class Flying(Protocol):
    """A request that is served."""

    @property
    def last_ns(self) -> int | None:
        """When its last token came; None where none did, or none is timed."""


class Clients:
    """Sends requests by their places, each in its turn, from the start of the block.

    Where options say when they are due, a thread calls `send`, as `Dispatch` does. Else
    `concurrency` of them are sent at once (all, if it is unset), and a further one
    whenever the engine says that one has `ended`, by the thread that says so.
    `sent_ns` has when each was sent.
    """

    def __init__(
        self, requests: int, options: GenerateOptions, send: Callable[[int], None]
    ) -> None:
        self._requests = requests
        self._together = min(options.concurrency or requests, requests)
        self._hand_over = send
        self._dispatch: Dispatch | None = None
        if options.due_ns:
            self._dispatch = Dispatch(options.due_ns, self._send)
        self.sent_ns: list[int] = []

    @property
    def due_ns(self) -> list[int]:
        """When each request is due, on the monotonic clock; empty where none is."""
        return self._dispatch.due_ns if self._dispatch else []

    def ended(self) -> None:
        """A request has ended: whoever waited for it sends the next one."""
        if self._dispatch is None and len(self.sent_ns) < self._requests:
            self._send(len(self.sent_ns))

    def check(self) -> None:
        """Raise what a thread that sends has failed with, if it has."""
        if self._dispatch is not None:
            self._dispatch.check()

    def __enter__(self) -> Clients:
        if self._dispatch is not None:
            self._dispatch.__enter__()
        else:
            for place in range(self._together):
                self._send(place)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._dispatch is not None:
            self._dispatch.__exit__(kind, error, traceback)

    def _send(self, place: int) -> None:
        self.sent_ns.append(time.monotonic_ns())
        self._hand_over(place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round(Generic[T]):
    """Requests that an engine took together, and what came of them."""

    places: list[int]
    outcome: T
    start_ns: int
    end_ns: int


def in_rounds(
    requests: int, options: GenerateOptions, run: Callable[[list[int]], T]
) -> tuple[list[Round[T]], Clients]:
    """Serve requests by an engine that takes whole batches: first come, first served.

    Whenever it is free it takes what waits, up to `batch_size`, and waits itself only
    where nothing does. `run` returns when all of the places it is given are done.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    rounds: list[Round[T]] = []
    left = requests
    with Clients(requests, options, waiting.put) as clients:
        while left:
            places = taken(waiting, most=options.batch_size)
            start_ns = time.monotonic_ns()
            outcome = run(places)
            end_ns = time.monotonic_ns()
            rounds.append(
                Round(places=places, outcome=outcome, start_ns=start_ns, end_ns=end_ns)
            )
            left -= len(places)
            for _ in places:
                clients.ended()
    return rounds, clients


def taken(
    waiting: queue.SimpleQueue[int], *, most: int | None = None, wait: bool = True
) -> list[int]:
    """What waits, up to `most`; where nothing does, the next one, unless not `wait`."""
    places = [waiting.get()] if wait else []
    while (most is None or len(places) < most) and not waiting.empty():
        places.append(waiting.get())
    return places


async def in_tasks(
    requests: int,
    options: GenerateOptions,
    serve: Callable[[int], Coroutine[Any, Any, None]],
    flying: Sequence[Flying] = (),
    end: Callable[[int, End], Coroutine[Any, Any, None]] | None = None,
) -> Clients:
    """Serve each request by a task of this loop, from when it was sent to its end.

    One of `flying` that is over a limit of the options is ended by `end`, after which
    its task is soon done. The first task that fails ends all of them, and is what is
    raised.
    """
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[int] = asyncio.Queue()
    there: set[int] = set()

    def send(place: int) -> None:
        loop.call_soon_threadsafe(arrived.put_nowait, place)

    async def one(place: int) -> None:
        there.add(place)
        await serve(place)
        there.discard(place)
        clients.ended()

    async def watch() -> None:
        overdue = Overdue(options)
        while overdue.next_ns is not None and end is not None:
            now_ns = time.monotonic_ns()
            seen = [(k, clients.sent_ns[k], flying[k].last_ns) for k in there]
            for place, why in overdue.found(seen, now_ns):
                await end(place, why)  # again at the next look, if it is still there
            await asyncio.sleep((overdue.next_ns - now_ns) / 1e9)

    try:
        with Clients(requests, options, send) as clients:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(watch())
                tasks = [
                    group.create_task(one(await arrived.get())) for _ in range(requests)
                ]
                await asyncio.gather(*tasks)
                watching.cancel()
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from several
    return clients
