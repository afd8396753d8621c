"""What each place of a cluster runs next: plan order, with every experiment at home.

A place is a node, or some GPUs of it. The first cycle of an experiment goes to whoever
is free and fits, and its others to where that is at home: to the same place, if not
told otherwise.
"""

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

K = TypeVar("K")

Waiting = tuple[int, str]
"""The place of a task in the plan, and the name of its experiment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One run of the test of that name; `at` is its place in the plan.

    `cycle` is None of tests that measure nothing. `engine` is equal for those that
    share a load, `wants` for those that are to run in the same places.
    """

    at: int
    name: str
    cycle: int | None
    last: bool
    engine: str = ""
    wants: str = ""


class Places(Protocol):
    """What is known of places."""

    def home(self, place: str) -> str:
        """What the cycles of an experiment have in common that runs there."""

    def fits(self, place: str, wants: str) -> bool:
        """Whether what wants that may run there."""


class Anywhere:
    """All places fit, and each is a home of its own."""

    def home(self, place: str) -> str:
        """The place itself."""
        return place

    def fits(self, place: str, wants: str) -> bool:
        """Whatever it is."""
        del place, wants
        return True


class Queue:
    """The tasks that are still to be run, each handed out once.

    Of those that are nobody's yet a place gets the first in the plan that uses the
    engine it has loaded, else the first whose engine nobody has, else the first; in any
    case of those that it fits.
    """

    def __init__(self, tasks: Iterable[Task], places: Places | None = None) -> None:
        self._places = places or Anywhere()
        self._tasks: dict[str, list[Task]] = {}
        self._home: dict[str, str] = {}
        self._own: dict[str, dict[str, list[Waiting]]] = {}
        self._free: dict[tuple[str, str], list[Waiting]] = {}
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

    @property
    def homeless(self) -> dict[str, list[Task]]:
        """By what they want, the first tasks of those that are at home nowhere yet."""
        found: dict[str, list[Task]] = {}
        for (_, wants), heap in self._free.items():
            waiting = {one for one in heap if self._is_waiting(one, home=None)}
            tasks = [self._tasks[name][0] for _, name in sorted(waiting)]
            if wants and tasks:
                found.setdefault(wants, []).extend(tasks)
        return found

    def bind(self, name: str, home: str) -> None:
        """Keep an experiment where cycles of it ran before."""
        self._home[name] = home
        self._wait(name)

    def take(self, place: str) -> Task | None:
        """The next task for a place; None where there is nothing for it now."""
        name = self.following(place)
        if name is None:
            return None
        self._home[name] = self._places.home(place)
        self._running.add(name)
        task = self._tasks[name][0]
        if task.cycle is not None:
            self._loaded[place] = task.engine
        return task

    def following(self, place: str) -> str | None:
        """Whose task is the next for a place, if nothing happens before."""
        home, free = self._places.home(place), self._choose(place)
        own = dict(self._firsts(self._own.get(home, {}), home))
        fit = [one for wants, one in own.items() if self._places.fits(place, wants)]
        first = min([*fit, *([free] if free else [])], default=None)
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

    def keep(self, places: Collection[str]) -> list[str]:
        """These places are left: what is at home in none is nobody's; its names."""
        self._loaded = {k: one for k, one in self._loaded.items() if k in places}
        there: dict[tuple[str, str], bool] = {}
        gone = []
        for name, home in self._home.items():
            if not (tasks := self._tasks.get(name)):
                continue
            key = home, tasks[0].wants
            if key not in there:
                there[key] = any(self._is_home(one, *key) for one in places)
            if not there[key]:
                gone.append(name)
        for name in gone:
            del self._home[name]
            self._wait(name)
        return gone

    def _is_home(self, place: str, home: str, wants: str) -> bool:
        return self._places.home(place) == home and self._places.fits(place, wants)

    def _wait(self, name: str) -> None:
        if name in self._running or not self._tasks.get(name):
            return
        task, home = self._tasks[name][0], self._home.get(name)
        if home is None:
            heap = self._free.setdefault((task.engine, task.wants), [])
        else:
            heap = self._own.setdefault(home, {}).setdefault(task.wants, [])
        heapq.heappush(heap, (task.at, name))

    def _is_waiting(self, one: Waiting, *, home: str | None) -> bool:
        at, name = one
        tasks = self._tasks.get(name) or []
        waits = name not in self._running and [it.at for it in tasks[:1]] == [at]
        return waits and self._home.get(name) == home

    def _choose(self, place: str) -> Waiting | None:
        """What a place takes of what is nobody's yet."""
        firsts = {
            key: one
            for key, one in self._firsts(self._free, None)
            if self._places.fits(place, key[1])
        }
        mine = self._loaded.get(place)
        others = {it for k, it in self._loaded.items() if k != place}
        own = [one for (engine, _), one in firsts.items() if engine == mine]
        new = [one for (engine, _), one in firsts.items() if engine not in others]
        return min(own or new or firsts.values(), default=None)

    def _firsts(
        self, heaps: Mapping[K, list[Waiting]], home: str | None
    ) -> Iterator[tuple[K, Waiting]]:
        for key, heap in heaps.items():
            if (first := self._head(heap, home)) is not None:
                yield key, first

    def _head(self, heap: list[Waiting], home: str | None) -> Waiting | None:
        """The first that still waits; what does not, is dropped."""
        while heap and not self._is_waiting(heap[0], home=home):
            heapq.heappop(heap)
        return heap[0] if heap else None
