"""What a driver has to hand out: the tasks of a plan, and where they belong."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_lem.cluster.places import Map
from pytest_lem.cluster.queue import Queue, Task
from pytest_lem.front.loop import Turn

if TYPE_CHECKING:
    from pytest_lem.front.session import LemSession


def queue_of(state: "LemSession", plan: Sequence[Turn], places: Map) -> Queue:
    """All of a plan; experiments of an earlier session are left where they began."""
    queue = Queue(_planned(state, plan), places)
    findings = state.findings
    for name in findings.names:
        nodes = [one.machine.get("node", {}) for one in findings.cycles(name)]
        ran = dict.fromkeys(one["place"] for one in nodes if "place" in one)
        wants = str(state.program.experiments[name].placement)
        queue.bind(name, places.earlier([*ran], wants))
    return queue


def anew(state: "LemSession", name: str) -> list[Task]:
    """All cycles of an experiment once more."""
    steps = [(at, k) for at, (it, k) in enumerate(state.program.steps) if it == name]
    return [
        _task(state, at, name, cycle, last=(at, cycle) == steps[-1])
        for at, cycle in steps
    ]


def _planned(state: "LemSession", plan: Sequence[Turn]) -> Iterator[Task]:
    for at, turn in enumerate(plan):
        yield _task(state, at, turn.item.nodeid, turn.cycle, last=turn.last)


def _task(
    state: "LemSession", at: int, name: str, cycle: int | None, *, last: bool
) -> Task:
    program = state.program
    entry, experiment = program.entries.get(name), program.experiments.get(name)
    return Task(
        at=at,
        name=name,
        cycle=cycle,
        last=last,
        engine=entry.engine if entry else "",
        wants=str(experiment.placement) if experiment else "",
    )
