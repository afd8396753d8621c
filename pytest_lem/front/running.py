"""What is left of a plan is run: by this process, or by the nodes of a cluster."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_lem.errors import StoreError
from pytest_lem.front.earlier import retell
from pytest_lem.front.loop import Turn, interruptible, run_turns, turns
from pytest_lem.front.remote.cluster import Cluster

if TYPE_CHECKING:
    from pytest_lem.front.session import LemSession


def run_plan(session: pytest.Session, state: "LemSession") -> None:
    """Tell what an earlier session ended, and run what is left of the plan."""
    planning = state.planning
    try:
        planning.begin()
    except StoreError as error:
        raise pytest.UsageError(error.message) from error
    session.config.pluginmanager.register(planning, "lem-planning")
    by_id = {item.nodeid: item for item in session.items}
    told = planning.told()
    for name, reports in told.items():
        retell(by_id[name], reports)
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    items = [item for item in session.items if item.nodeid not in told]
    steps = [(by_id[name], cycle) for name, cycle in planning.steps()]
    plan = turns(items, steps)
    try:
        with interruptible():
            _run(session, state, plan)
    except StoreError as error:
        planning.problem = session.shouldfail = error.message
        raise session.Failed(error.message) from error


def _run(session: pytest.Session, state: "LemSession", plan: Sequence[Turn]) -> None:
    if isinstance(state.premises, Cluster):
        from pytest_lem.front.remote.driver import Driver

        Driver(session, state, state.premises).run(plan)
    else:
        run_turns(session, plan, state.over, state.planning.running)
