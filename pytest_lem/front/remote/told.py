"""Reports of tests that ran on nodes, or on none, as if they had run here."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_lem.errors import LemError

if TYPE_CHECKING:
    from pytest_lem.front.session import LemSession


def tell(
    state: "LemSession",
    item: pytest.Item,
    reports: Sequence[pytest.TestReport],
    *,
    judged: bool,
) -> None:
    """Report a test that has ended; where it is `judged`, by what was measured."""
    if not reports:
        return
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in reports:
        if judged and report.when == "call":
            with state.ending(item, report):
                state.conclude(item.nodeid)
                state.judge(item, report)
        if report.when == "teardown":
            report.user_properties += item.user_properties
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def failure(item: pytest.Item, error: LemError) -> list[pytest.TestReport]:
    """What is told of a test that no node has reported."""
    failed = pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords={},
        outcome="failed",
        longrepr=f"{error.kind}: {error}",
        when="call",
    )
    down = pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords={},
        outcome="passed",
        longrepr=None,
        when="teardown",
    )
    return [failed, down]
