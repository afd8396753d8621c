"""What each place of a cluster runs next: plan order, with every experiment at home.

A place is what the cycles of an experiment have in common: a node, or some GPUs of it.
The first cycle of an experiment goes to whoever is free, and its others to that place.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

Waiting = tuple[int, str]
"""The place of a task in the plan, and the name of its experiment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One run of the test of that name; `at` is its place in the plan.

    `cycle` is None of tests that measure nothing. `engine` is equal for those that
    share a load.
    """

    at: int
    name: str
    cycle: int | None
    last: bool
    engine: str = ""


class Queue:
    """The tasks that are still to be run, each handed out once.

    Of those that are nobody's yet a place gets the first in the plan that uses the
    engine it has loaded, else the first whose engine nobody has, else the first.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks: dict[str, list[Task]] = {}
        self._home: dict[str, str] = {}
        self._own: dict[str, list[Waiting]] = {}
        self._free: dict[str, list[Waiting]] = {}
        self._loaded: dict[str, str] = {}
        self._running: set[str] = set()
        for task in tasks:
            self._tasks.setdefault(task.name, []).append(task)
        for name in self._tasks:
            self._wait(name)

    @property
    def left(self) -> bool:
        """Whether anything is to be handed out, now or after what runs."""
        return any(self._tasks.values())

    def bind(self, name: str, place: str) -> None:
        """Keep an experiment at the place that ran cycles of it before."""
        self._home[name] = place
        self._wait(name)

    @property
    def homes(self) -> set[str]:
        """The places of experiments that have tasks left."""
        return {place for name, place in self._home.items() if self._tasks.get(name)}

    def take(self, place: str) -> Task | None:
        """The next task for a place; None where there is nothing for it now."""
        name = self.following(place)
        if name is None:
            return None
        self._home[name] = place
        self._running.add(name)
        task = self._tasks[name][0]
        if task.cycle is not None:
            self._loaded[place] = task.engine
        return task

    def following(self, place: str) -> str | None:
        """Whose task is the next for a place, if nothing happens before."""
        own = self._head(self._own.get(place), place)
        engine = self._choose(place)
        free = None if engine is None else self._head(self._free[engine], None)
        first = min((one for one in (own, free) if one is not None), default=None)
        return None if first is None else first[1]

    def done(self, task: Task) -> None:
        """A task is over: the next of its name may follow."""
        self._running.discard(task.name)
        self._tasks[task.name] = [
            one for one in self._tasks[task.name] if one.at != task.at
        ]
        self._wait(task.name)

    def end(self, name: str) -> None:
        """Nothing more of that name is to be run."""
        self._running.discard(name)
        self._tasks[name] = []

    def back(self, task: Task) -> None:
        """A task came to nothing and is to be handed out again."""
        self._running.discard(task.name)
        self._wait(task.name)

    def again(self, name: str, tasks: Sequence[Task]) -> None:
        """All of an experiment is to be run, wherever there is room."""
        self._running.discard(name)
        self._tasks[name] = [*tasks]
        self._home.pop(name, None)
        self._wait(name)

    def leave(self, place: str) -> list[str]:
        """A place is gone: what was at home there is nobody's; the names of it."""
        self._loaded.pop(place, None)
        self._own.pop(place, None)
        names = [name for name, home in self._home.items() if home == place]
        for name in names:
            del self._home[name]
            self._wait(name)
        return [name for name in names if self._tasks.get(name)]

    def _wait(self, name: str) -> None:
        if name in self._running or not self._tasks.get(name):
            return
        task, home = self._tasks[name][0], self._home.get(name)
        shelf = self._free if home is None else self._own
        heap = shelf.setdefault(task.engine if home is None else home, [])
        heapq.heappush(heap, (task.at, name))

    def _is_waiting(self, one: Waiting, *, home: str | None) -> bool:
        at, name = one
        tasks = self._tasks.get(name) or []
        waits = name not in self._running and [it.at for it in tasks[:1]] == [at]
        return waits and self._home.get(name) == home

    def _choose(self, place: str) -> str | None:
        """The engine of which a place takes what is nobody's yet."""
        firsts = dict(self._firsts())
        if not firsts:
            return None
        mine = self._loaded.get(place)
        if mine in firsts:
            return mine
        others = {it for k, it in self._loaded.items() if k != place}
        untouched = {k: it for k, it in firsts.items() if k not in others}
        found = untouched or firsts
        return min(found, key=lambda engine: found[engine])

    def _firsts(self) -> Iterator[tuple[str, Waiting]]:
        for engine, heap in self._free.items():
            if (first := self._head(heap, None)) is not None:
                yield engine, first

    def _head(self, heap: list[Waiting] | None, home: str | None) -> Waiting | None:
        """The first that still waits; what does not, is dropped."""
        while heap and not self._is_waiting(heap[0], home=home):
            heapq.heappop(heap)
        return heap[0] if heap else None
