"""The plan: which cycle of which experiment runs when, and about how long it takes."""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_lem.schedule.order import turn
from pytest_lem.spec.gaps import NO_GAPS, Gaps

# A worker's start and load of a small model, and one warm-up: only to give an idea.
START_S = 8.0
WARMUP_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An experiment as the plan sees it: `engine` is equal for those sharing a load.

    One with a `cold` start loads for each of its cycles, and warms nothing up. Orders
    are drawn by `name`.
    """

    engine: str
    cycles: int
    window_s: float
    cold: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Cycle `cycle` of the experiment at `position`."""

    position: int
    cycle: int


def make_plan(
    entries: Sequence[Entry], order: str, seed: int, *, by_engine: bool = False
) -> list[Step]:
    """All steps, in the order they run.

    A pass has the order of all experiments, without those that have no such cycle.
    `by_engine`: all passes of the first pass's first engine, then those of its next.
    """
    engines = [entry.engine for entry in entries]
    names = [entry.name for entry in entries]
    if order == "grouped":
        return [
            Step(position=i, cycle=k)
            for i in turn(engines, order, seed, 0, names)
            for k in range(entries[i].cycles)
        ]
    steps = [
        Step(position=i, cycle=k)
        for k in range(max((entry.cycles for entry in entries), default=0))
        for i in turn(engines, order, seed, k, names)
        if entries[i].cycles > k
    ]
    if by_engine:
        first = dict.fromkeys(engines[step.position] for step in steps)
        place = {engine: k for k, engine in enumerate(first)}
        steps.sort(key=lambda step: place[engines[step.position]])
    return steps


def estimate_s(
    entries: Sequence[Entry],
    steps: Sequence[Step],
    idle_s: float,
    idle_after_s: float = 0.0,
    *,
    floor_s: float = 0.0,
    gaps: Gaps = NO_GAPS,
    by_engine: bool = False,
) -> float:
    """Roughly how long the steps take: starts, warm-ups, waits, idle power, windows.

    Idle power is read for `idle_s` with each load, and so long after each cycle;
    `floor_s` follows each warm-up.
    """
    seconds, live, before = 0.0, None, None
    for step in steps:
        entry = entries[step.position]
        seconds += gaps.before(step.cycle, before)
        before = step.cycle
        load = (entry.engine, 0 if by_engine else step.cycle)
        if entry.cold or load != live:
            live = load
            seconds += START_S + idle_s
        seconds += 0.0 if entry.cold else WARMUP_S + floor_s
        seconds += entry.window_s + idle_after_s
    return seconds
