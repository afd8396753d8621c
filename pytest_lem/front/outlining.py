"""What a session is about to do."""

from typing import TYPE_CHECKING

import pytest_lem
from pytest_lem.front.conditions import gaps_of, idle_policy
from pytest_lem.front.options.results import REPORTS
from pytest_lem.report.meters import named
from pytest_lem.report.terminal import Outline
from pytest_lem.spec.gaps import NO_GAPS

if TYPE_CHECKING:
    from pytest_lem.front.session import LemSession


def outline(state: "LemSession") -> Outline:
    """What a session is about to do, as its header has it."""
    settings, program = state.settings, state.program
    backends = sorted({one.spec.backend for one in program.experiments.values()})
    reports = [settings[name] for name in (*REPORTS, "traces")]
    reports.append(state.store)
    idle, gaps = idle_policy(settings), gaps_of(settings)
    waits_s = (idle.before_s, idle.after_s, settings["thermal-floor"])
    guess_s, known = program.estimate_s(*waits_s, gaps), None
    if settings["plan"]:
        known = state.planning.estimate(program.estimate_s(*waits_s, NO_GAPS), gaps)
    return Outline(
        version=pytest_lem.__version__,
        backends=[state.premises.with_version(name) for name in backends],
        meter=named(state.premises.metering),
        gpus=[one.name for one in state.premises.gpus],
        resumed=state.planning.describe(),
        experiments=len(program.entries),
        steps=len(program.steps),
        left_out=len(program.left_out),
        open_ended=any(
            one.effort.cycles == "auto" for one in program.experiments.values()
        ),
        estimate_s=known.duration_s if known else guess_s,
        estimate_j=known.energy_j if known else None,
        pilots=(known.timed, known.metered) if known else (0, 0),
        gaps=str(gaps),
        profile=settings["profile"] or "",
        order=program.order,
        seed=program.seed,
        search=str(settings["search"] or ""),
        reports=[str(path) for path in reports if path],
        references=[str(one) for one in state.gating.references],
    )
