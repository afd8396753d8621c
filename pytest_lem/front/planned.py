"""What a plan has of a program: all that is to run, late work, what was left out."""

from typing import Any

import pytest_lem
from pytest_lem.front.premises import Premises
from pytest_lem.front.program import Program
from pytest_lem.front.remote.cluster import Cluster
from pytest_lem.schedule.planfile import PlanFile, PlannedCycle, PlannedExperiment
from pytest_lem.spec.effort import EFFORT_KEYS, Effort
from pytest_lem.spec.explained import settings

_LEFT_OUT = "left_out"


def plan_file(
    program: Program,
    premises: Premises | Cluster,
    session: str,
    started_at: str,
    *,
    told: bool = True,
) -> PlanFile:
    """The plan of a session of which nothing has run.

    Settings are in it where they are `told`: of 10 000 experiments that takes seconds.
    """
    members = {name: program.experiments[name] for name in program.entries}
    backends = {one.spec.backend for one in members.values()}
    where = {name: premises.with_version(name) for name in backends}
    return PlanFile(
        session=session,
        started_at=started_at,
        plugin_version=pytest_lem.__version__,
        conditions={
            "order": program.order,
            "seed": program.seed,
            "isolation": program.isolation,
            **premises.conditions(),
        },
        experiments=[
            PlannedExperiment(
                experiment_id=name,
                identity=program.identities[name],
                backend=one.spec.backend,
                where=where[one.spec.backend],
                effort=_effort(one.effort),
                config={
                    setting.key: setting.value
                    for setting in (settings(one) if told else ())
                    if setting.origin != "default"
                },
            )
            for name, one in members.items()
        ],
        steps=[
            PlannedCycle(experiment_id=name, cycle=cycle)
            for name, cycle in program.steps
        ],
    )


def found_work(program: Program, one: PlannedExperiment) -> dict[str, Any]:
    """The work that only the test's body knew, if it has come to light now."""
    name = one.experiment_id
    identity = program.identities[name]
    if identity in (one.identity, one.found):
        return {}
    workload = program.experiments[name].workload
    return {"found": identity, "workload": workload.model_dump(mode="json")}


def left_out(program: Program, name: str) -> dict[str, str] | None:
    """Why an experiment was not measured, if the program was told; just now."""
    for one in reversed(program.skipped):
        if one["experiment_id"] == name:
            return {"kind": _LEFT_OUT, "message": one["reason"]}
    return None


def reasons(plan: PlanFile) -> dict[str, str]:
    """Why experiments were left out of an earlier session, by name."""
    errors = ((one.experiment_id, one.error) for one in plan.steps)
    return {k: it["message"] for k, it in errors if it and it["kind"] == _LEFT_OUT}


def _effort(effort: Effort) -> dict[str, Any]:
    """What decides how a cycle is measured; limits of time are not in it."""
    names = [name for name in EFFORT_KEYS if name != "timeout"]
    return {name: getattr(effort, name) for name in names} | {
        "warmup": str(effort.warmup)
    }
