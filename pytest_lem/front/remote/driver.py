"""The loop of a driver: it hands out cycles, and takes in what nodes made of them."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lem.cluster.queue import Queue, Task
from pytest_lem.cluster.seat import Event, Seat
from pytest_lem.errors import ConfigError, LemError, NodeLost, StoreError
from pytest_lem.front.earlier import read_report
from pytest_lem.front.loop import Turn
from pytest_lem.front.remote.cluster import GRACE_S, Cluster
from pytest_lem.front.remote.exchange import earlier
from pytest_lem.front.remote.tasks import anew, queue_of
from pytest_lem.front.remote.told import failure, tell
from pytest_lem.front.remote.unplaced import NODES_WITHIN_S, Unplaced
from pytest_lem.front.stash import ENDED, FATES
from pytest_lem.records.record import Cycle

if TYPE_CHECKING:
    from pytest_lem.front.session import LemSession


class Driver:
    """Runs a plan on the seats of a cluster; each test is reported when it has ended.

    A cycle whose seat is lost runs again, on the same GPUs if they come back. Else all
    cycles of its experiment do, since only those of one machine are pooled.
    """

    def __init__(
        self, session: pytest.Session, state: "LemSession", cluster: Cluster
    ) -> None:
        self._session = session
        self._state = state
        self._cluster = cluster
        self._pool = cluster.pool
        self._items = {item.nodeid: item for item in session.items}
        self._running: dict[Seat, Task] = {}
        self._losses: Counter[tuple[str, int | None]] = Counter()
        self._alone_s: float | None = None
        self._queue = Queue([])
        self._unplaced = Unplaced(self._queue, cluster)

    def run(self, plan: Sequence[Turn]) -> None:
        """Walk the plan with pytest's ways of stopping."""
        self._queue = queue_of(self._state, plan, self._cluster.places)
        self._unplaced = Unplaced(self._queue, self._cluster)
        try:
            while self._queue.left:
                self._hand_out()
                for event in self._pool.events():
                    self._take(event)
                    self._stop()
                self._move()
        except BaseException:
            self._wind_up()
            raise

    def _hand_out(self) -> None:
        for seat in self._pool.idle:
            task = self._queue.take(seat.place)
            if task is None or self._state.over():
                continue
            item, skip = self._items[task.name], None
            if task.cycle is not None:
                skip = self._state.sweeps.reason(item)
            self._running[seat] = task
            self._state.planning.begins(item, task.cycle)
            body = {
                "name": task.name,
                "cycle": task.cycle,
                "last": task.last or skip is not None,
                "skip": skip,
                "next": self._queue.following(seat.place),
                "earlier": earlier(
                    self._state, task.name, seat.holds.get(task.name, 0)
                ),
                "found": self._state.program.found(task.name),
            }
            self._pool.ask(seat, body)

    def _take(self, event: Event) -> None:
        if event.kind == "joined":
            self._cluster.meet(event.seat)
            return
        task = self._running.pop(event.seat, None)
        if event.kind == "lost" and event.seat.place:
            self._cluster.lose(event.seat, event.why)
        if task is None:
            return
        if event.kind == "lost":
            self._lost(task, NodeLost(f"{event.seat}: {event.why}"))
        elif event.body.get("unknown"):
            why = f"{task.name} is not collected on {event.seat}"
            self._fail(task, ConfigError(why))
        elif event.body.get("broken"):
            why = event.body["broken"]
            self._cluster.lose(event.seat, why)
            self._pool.give_up(event.seat, why)
            self._lost(task, NodeLost(f"{event.seat}: {why}"))
        else:
            self._answered(event.seat, task, event.body)

    def _answered(self, seat: Seat, task: Task, body: dict[str, Any]) -> None:
        state, item = self._state, self._items[task.name]
        try:
            for text in body["cycles"]:
                state.take(task.name, _of(seat, Cycle.model_validate_json(text)))
        except StoreError as error:
            self._fail(task, error)
            return
        if body.get("interrupted"):
            why = "the session there was interrupted"
            self._cluster.lose(seat, why)
            self._pool.drop(seat)
            self._lost(task, NodeLost(f"{seat}: {why}"))
            return
        if body["found"] is not None:
            state.program.take_over(task.name, *body["found"])
        if state.findings.has(task.name):
            seat.holds[task.name] = len(state.findings.hashes(task.name))
        for reason in body["left_out"]:
            state.program.skip(task.name, reason)
        item.stash[FATES] = {*body["fates"]}
        item.stash[ENDED] = body["ended"]
        reports = [read_report(item.config, it) for it in json.loads(body["reports"])]
        tell(state, item, reports, judged=task.cycle is not None)
        self._note_streak(item, task)
        state.planning.ends(item)
        if body["ended"]:
            self._queue.end(task.name)
        else:
            self._queue.done(task)
        self._obey(body)

    def _note_streak(self, item: pytest.Item, task: Task) -> None:
        fates = item.stash[FATES]
        if task.cycle is not None and "failed" in fates:
            self._state.streak.broke(item, task.cycle)
        elif task.cycle is not None and "skipped" not in fates:
            self._state.streak.end()

    def _obey(self, body: dict[str, Any]) -> None:
        """End the session where a test, or a plugin on its node, said so."""
        if body.get("exit") is not None:
            pytest.exit(body["exit"])
        if body["stop"]:
            self._session.shouldstop = body["stop"]

    def _lost(self, task: Task, error: NodeLost) -> None:
        """Have a cycle run again that came to nothing, if not too often."""
        self._losses[task.name, task.cycle] += 1
        retries = self._state.settings["node-retries"]
        if self._losses[task.name, task.cycle] > retries:
            self._fail(task, error)
            return
        self._state.planning.ends(self._items[task.name], "interrupted", error)
        self._queue.back(task)

    def _fail(self, task: Task, error: LemError) -> None:
        """Report a test as failed that no node has reported."""
        item = self._items[task.name]
        tell(self._state, item, failure(item, error), judged=False)
        self._state.planning.ends(item, "failed", error)
        self._queue.end(task.name)

    def _move(self) -> None:
        """Run elsewhere, from the first cycle on, what was at home where nobody is."""
        if self._pool.joined and not self._pool.joining:
            for name in self._queue.keep({one.place for one in self._pool.joined}):
                if self._state.findings.has(name):
                    self._begin_again(name)
        for task, error in self._unplaced.given_up() if self._pool.hopes else ():
            self._fail(task, error)
        self._wait_for_nodes()

    def _begin_again(self, name: str) -> None:
        state = self._state
        state.planning.again(name)
        state.findings.lose(name)
        self._queue.again(name, anew(state, name))

    def _wait_for_nodes(self) -> None:
        """Stop where no node has come for a while that could go on."""
        now = time.monotonic()
        if self._pool.headless:
            self._session.shouldstop = self._pool.headless
        elif self._pool.hopes:
            self._alone_s = None
        elif self._alone_s is None:
            self._alone_s = now
        elif now - self._alone_s > NODES_WITHIN_S:
            lines = [f"{name}: {why}" for name, why in self._pool.left_out.items()]
            said = "; ".join(["no node is left that can measure", *lines])
            self._session.shouldstop = said
        self._stop()

    def _stop(self) -> None:
        session = self._session
        if self._queue.left and not session.shouldstop:
            session.shouldstop = self._state.over() or False
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)

    def _wind_up(self) -> None:
        """Interrupt what runs, and take in what there is of it."""
        until = time.monotonic() + GRACE_S
        try:
            self._pool.interrupt()
            while self._running and time.monotonic() < until:
                for event in self._pool.events():
                    task = self._running.pop(event.seat, None)
                    if event.kind == "answer" and task is not None:
                        self._end_interrupted(event, task)
        finally:
            for seat, task in self._running.items():
                self._state.planning.ends(self._items[task.name], "interrupted")
                self._cluster.lose(seat, "it did not end what it ran in time")
                self._pool.drop(seat)
            self._running.clear()

    def _end_interrupted(self, event: Event, task: Task) -> None:
        for text in event.body.get("cycles", ()):
            cycle = _of(event.seat, Cycle.model_validate_json(text))
            if cycle.status != "complete":
                self._state.take(task.name, cycle)
        self._state.planning.ends(self._items[task.name], "interrupted")
        self._cluster.interrupt(event.seat)
        self._pool.drop(event.seat)


def _of(seat: Seat, cycle: Cycle) -> Cycle:
    """The cycle, with where it was measured."""
    node = {"id": seat.node.id, "host": seat.node.host, "place": seat.place}
    return cycle.model_copy(update={"machine": {**cycle.machine, "node": node}})
