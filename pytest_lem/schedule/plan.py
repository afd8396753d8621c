"""The plan: which cycle of which experiment runs when, and about how long it takes."""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_lem.schedule.order import turn

# A worker's start and load of a small model, and one warm-up: only to give an idea.
START_S = 8.0
WARMUP_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An experiment as the plan sees it: `engine` is equal for those sharing a load."""

    engine: str
    cycles: int
    window_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Cycle `cycle` of the experiment at `position`."""

    position: int
    cycle: int


def make_plan(entries: Sequence[Entry], order: str, seed: int) -> list[Step]:
    """All steps, in the order they run."""
    if order == "grouped":
        engines = [entry.engine for entry in entries]
        return [
            Step(position=i, cycle=k)
            for i in turn(engines, order, seed, 0)
            for k in range(entries[i].cycles)
        ]
    steps = []
    for k in range(max((entry.cycles for entry in entries), default=0)):
        among = [i for i, entry in enumerate(entries) if entry.cycles > k]
        engines = [entries[i].engine for i in among]
        steps += [
            Step(position=among[j], cycle=k) for j in turn(engines, order, seed, k)
        ]
    return steps


def estimate_s(
    entries: Sequence[Entry],
    steps: Sequence[Step],
    idle_s: float,
    idle_after_s: float = 0.0,
) -> float:
    """Roughly how long the steps take: starts, warm-ups, idle readings and windows.

    Idle power is read for `idle_s` with each load, and so long after each cycle.
    """
    seconds, live = 0.0, None
    for step in steps:
        entry = entries[step.position]
        if (entry.engine, step.cycle) != live:
            live = (entry.engine, step.cycle)
            seconds += START_S + idle_s
        seconds += WARMUP_S + entry.window_s + idle_after_s
    return seconds
