"""Failures in a row: when so many experiments broke, the next will break as well."""

import pytest

from pytest_lem.front.settings import Settings
from pytest_lem.front.stash import CYCLE


class Streak:
    """The runs of experiments that broke, each once, since one was measured.

    What a test asserts of its numbers breaks nothing, and a skip says nothing.
    """

    def __init__(self, settings: Settings) -> None:
        self._most: int = settings["max-failures"]
        self._said = settings.says("max-failures")
        self._broken: dict[tuple[str, int], None] = {}

    def hear(
        self, item: pytest.Item, report: pytest.TestReport, *, asserted: bool
    ) -> None:
        """Take in a report; so many failures as are allowed end the session."""
        if report.failed and not asserted:
            self.broke(item, item.stash.get(CYCLE, 0))
        elif report.when == "call" and not report.skipped:
            self.end()

    def end(self) -> None:
        """An experiment was measured."""
        self._broken.clear()

    def broke(self, item: pytest.Item, cycle: int) -> None:
        """A cycle of an experiment broke."""
        self._broken[item.nodeid, cycle] = None
        if self._most and len(self._broken) >= self._most:
            item.session.shouldfail = (
                f"stopping after {self._most} failures in a row ({self._said})"
            )
