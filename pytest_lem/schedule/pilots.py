"""What cycles took in earlier sessions, for the estimate of a plan."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from pytest_lem.schedule.planfile import (
    BrokenPlan,
    PlanBook,
    PlanFile,
    PlannedExperiment,
)
from pytest_lem.schedule.resuming import sessions_below
from pytest_lem.spec.gaps import NO_GAPS, Gaps

MOST_SESSIONS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a plan takes, and of how many of its cycles time and energy were known.

    `energy_j` is of the cycles that have one, None without any.
    """

    duration_s: float
    energy_j: float | None
    timed: int
    metered: int


def estimate(
    root: Path, plan: PlanFile, guess_s: float, gaps: Gaps = NO_GAPS
) -> Estimate:
    """What is left of a plan takes as much as the same work took before.

    That is with the same effort, in the last 50 sessions of the root directory. Of
    other cycles each takes its share of `guess_s`, which is of the whole plan without
    the `gaps`. These are counted as they are now.
    """
    left = [one for one in plan.steps if one.status not in ("completed", "skipped")]
    works = {one.experiment_id: _work(one) for one in plan.experiments}
    took = _took(root, {works[one.experiment_id] for one in left})
    known = [took.get(works[one.experiment_id], ([], [])) for one in left]
    times_s = [fmean(durations_s) for durations_s, _ in known if durations_s]
    joules = [fmean(energies_j) for _, energies_j in known if energies_j]
    share_s = guess_s / max(1, len(plan.steps))
    return Estimate(
        duration_s=sum(times_s)
        + share_s * (len(left) - len(times_s))
        + sum(gaps.before(b.cycle, a.cycle) for a, b in pairwise(left)),
        energy_j=sum(joules) if joules else None,
        timed=len(times_s),
        metered=len(joules),
    )


_Took = Mapping[str, tuple[list[float], list[float]]]


def _took(root: Path, works: Iterable[str]) -> _Took:
    """Seconds and joules of each completed cycle of this work."""
    found: dict[str, tuple[list[float], list[float]]] = {w: ([], []) for w in works}
    for folder in sessions_below(root)[:MOST_SESSIONS]:
        try:
            plan = PlanBook(folder).read()
        except BrokenPlan:
            continue  # it tells of no time; going on with it says what is wrong
        members = {one.experiment_id: _work(one) for one in plan.experiments}
        for step in plan.steps:
            durations_s, energies_j = found.get(members[step.experiment_id], ([], []))
            if step.status == "completed" and step.duration_s is not None:
                durations_s.append(step.duration_s)
                energies_j += [] if step.energy_j is None else [step.energy_j]
    return found


def _work(one: PlannedExperiment) -> str:
    """What decides how long a cycle takes."""
    effort: dict[str, Any] = {k: v for k, v in one.effort.items() if k != "cycles"}
    return json.dumps([one.identity, effort], sort_keys=True, default=str)
