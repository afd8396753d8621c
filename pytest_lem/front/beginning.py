"""Before a session measures: its plan, and whether it is meant to be so long."""

from typing import TYPE_CHECKING

from pytest_lem.errors import LemError
from pytest_lem.front.planned import plan_file
from pytest_lem.report.terminal import duration

if TYPE_CHECKING:
    from pytest_lem.front.session import LemSession


def lay_out(state: "LemSession") -> list[str]:
    """Take the plan, or that of the session that is gone on with.

    Returns a line for each thing that stands against it. Workers keep none.
    """
    if state.share is not None:
        return []
    try:
        look_only = state.settings["plan"]
        fresh = plan_file(
            state.program,
            state.premises,
            state.name.session,
            state.name.started_at,
            told=not look_only or state.settings["resume"] is not None,
        )
        earlier = state.planning.load(fresh, look_only=look_only)
        if earlier is not None and not look_only:
            state.name.started_at = earlier.plan.started_at
            state.program.restore(earlier.plan)
            findings = state.findings
            findings.restore(earlier)
            state.searches.restore((it, findings.cycles(it)) for it in findings.names)
    except LemError as error:
        return str(error).splitlines()
    return []


def too_many(state: "LemSession") -> str | None:
    """What is said of more experiments than somebody meant; None of fewer."""
    most, count = state.settings["max-runs"], len(state.program.entries)
    if count <= most or state.settings["allow-large"]:
        return None
    told = f"{count} experiments of about {duration(state.describe().estimate_s)}"
    limit = f"{state.settings.says('max-runs')}={most}"
    return f"{told} are more than {limit}: --lem-allow-large runs them"
