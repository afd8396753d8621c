"""The plan file of a session: written as cycles run, read where one is gone on with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_lem.errors import LemError, StoreError
from pytest_lem.front.earlier import Earlier, read_earlier
from pytest_lem.front.planned import found_work, left_out, reasons
from pytest_lem.front.program import Program
from pytest_lem.front.settings import SETTINGS
from pytest_lem.front.stash import ENDED, FATES
from pytest_lem.front.step import Step
from pytest_lem.measure.notebook import now
from pytest_lem.records.journal import Journal
from pytest_lem.records.record import Cycle
from pytest_lem.schedule.pilots import Estimate, estimate
from pytest_lem.schedule.planfile import PlanBook, PlanFile, Status
from pytest_lem.schedule.resuming import PlanLock, point_to
from pytest_lem.spec.gaps import Gaps


class Planning:
    """Keeps the plan of a session on disk.

    `problem` says why that could not be done. `notes` has a line for each thing that
    was amiss with a session that is gone on with.
    """

    def __init__(
        self, config: pytest.Config, program: Program, directory: Path
    ) -> None:
        self.problem: str | None = None
        self.notes: list[str] = []
        self._config = config
        self._settings = config.stash[SETTINGS]
        self._program = program
        self._directory = directory
        self._book = PlanBook(directory)
        self._lock = PlanLock(directory)
        self._plan: PlanFile | None = None
        self._at: dict[tuple[str, int], int] = {}
        self._place: dict[str, int] = {}
        self._now: dict[str, Step] = {}
        self._estimate: Estimate | None = None
        self._broken = self._begun = False

    @property
    def resumed(self) -> list[str]:
        """When the session was gone on with."""
        return self._plan.resumed if self._plan else []

    def load(self, fresh: PlanFile, *, look_only: bool = False) -> Earlier | None:
        """Take the plan as it is now, or go on with the earlier one, if asked for.

        `look_only` changes no file. Raises ConfigError, StoreError where it cannot be.
        """
        found = None
        if not look_only:
            self._lock.take()
        self._plan = fresh
        if self._settings["resume"] is not None:
            found = read_earlier(
                self._directory,
                fresh,
                make_anew=self._settings["rebuild-plan"],
                look_only=look_only,
            )
            self._plan, self._broken = found.plan, found.broken
            self._plan.resumed = [*self._plan.resumed, now()]
            self.notes = found.notes
            for name, reason in reasons(found.plan).items():
                self._program.skip(name, reason)
        steps, members = self._plan.steps, self._plan.experiments
        self._at = {(one.experiment_id, one.cycle): k for k, one in enumerate(steps)}
        self._place = {one.experiment_id: k for k, one in enumerate(members)}
        return found

    def begin(self) -> None:
        """Put the plan on the disk, before the first cycle; raises StoreError."""
        if self._plan is None:
            return
        if self._broken:
            self._book.put_away()
        Journal(self._directory).keep(self._plan.wanted)
        self._plan.ended = False
        self._book.write(self._plan)
        self._begun = True
        point_to(self._book.path)

    def steps(self) -> list[tuple[str, int]]:
        """What is still to run, in its order."""
        found = self._plan.steps if self._plan else []
        return [
            (one.experiment_id, one.cycle)
            for one in found
            if one.status not in ("completed", "skipped")
        ]

    def told(self) -> dict[str, list[dict[str, Any]]]:
        """The reports of tests that ended in the earlier session, by node id."""
        members = self._plan.experiments if self._plan else []
        return {one.experiment_id: one.reports for one in members if one.reports}

    def describe(self) -> list[str]:
        """What of the plan is done and what was amiss; nothing of a new session."""
        if self._plan is None or self._settings["resume"] is None:
            return []
        done, told = len(self._plan.steps) - len(self.steps()), len(self.told())
        first = (
            f"session {self._plan.session}, {done} of {len(self._plan.steps)} cycles "
            f"done, {told} test{'s' if told != 1 else ''} told from it without running"
        )
        return [first, *self.notes]

    def estimate(self, guess_s: float, gaps: Gaps) -> Estimate | None:
        """What is left takes, by earlier sessions; None before there is a plan."""
        if self._plan is not None and self._estimate is None:
            self._estimate = estimate(self._config.rootpath, self._plan, guess_s, gaps)
        return self._estimate

    def left(self) -> str | None:
        """What is still to run when the session has ended; None if nothing is."""
        if self._plan is None or not self._begun or not (left := len(self.steps())):
            return None
        done = len(self._plan.steps) - left
        return (
            f"plan: {done} of {len(self._plan.steps)} cycles are done; the same "
            "command with --lem-resume runs the others"
        )

    @contextmanager
    def running(self, item: pytest.Item, cycle: int | None) -> Iterator[None]:
        """Note that a cycle runs, and afterwards what became of it."""
        self.begins(item, cycle)
        try:
            yield
        except BaseException:
            self.ends(item, "interrupted")
            raise
        else:
            self.ends(item)

    def begins(self, item: pytest.Item, cycle: int | None) -> None:
        """Note that a cycle runs; nothing of what is no step of the plan."""
        at = self._at.get((item.nodeid, -1 if cycle is None else cycle))
        if at is None or self._plan is None:
            return
        item.stash[FATES] = set()
        self._now[item.nodeid] = Step(at=at)
        tries = self._plan.steps[at].tries + 1
        self._note("step", at, status="running", tries=tries, started_at=now())

    def ends(
        self,
        item: pytest.Item,
        status: Status | None = None,
        error: LemError | None = None,
    ) -> None:
        """Note what became of it: by its reports and cycles, or as it is said here."""
        done = self._now.pop(item.nodeid, None)
        if done is not None:
            status = status or done.status(item.stash[FATES])
            told = None
            if error is not None:
                told = {"kind": error.kind, "message": error.message}
            self._end(item, done, status, told)

    def again(self, name: str) -> None:
        """Note that all of an experiment is to be run again, where it can be pooled."""
        assert self._plan is not None
        for at, step in enumerate(self._plan.steps):
            if step.experiment_id == name and step.status == "completed":
                self._note("step", at, status="pending", results=[])

    def kept(self, name: str, digest: str, cycle: Cycle) -> None:
        """Take in a cycle that is in the journal, by the hash of its line."""
        if (done := self._now.get(name)) is not None:
            done.keep(digest, cycle)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in a report of a test that runs, for who goes on with this session."""
        if (done := self._now.get(report.nodeid)) is not None:
            told = self._config.hook.pytest_report_to_serializable(
                config=self._config, report=report
            )
            done.reports.append(told)

    def end(self) -> None:
        """Write the plan as a whole, and let go of it."""
        try:
            if self._plan is not None and self._begun:
                self._plan.ended = self.problem is None
                self._book.write(self._plan)
        except StoreError as error:
            self.problem = self.problem or error.message
        finally:
            self._lock.release()

    def _note(self, of: str, at: int, **values: Any) -> None:
        """Write a change down; what stands against that ends the session."""
        assert self._plan is not None
        try:
            self._book.note(self._plan, of, at, **values)
        except StoreError as error:
            self.problem = self.problem or (
                f"{error.message}; `--lem-resume` goes on from what is there"
            )

    def _end(
        self, item: pytest.Item, done: Step, status: Status, told: dict[str, str] | None
    ) -> None:
        assert self._plan is not None
        place, name = self._place[item.nodeid], item.nodeid
        changes = found_work(self._program, self._plan.experiments[place])
        if done.reports and status != "interrupted":
            changes["reports"] = done.reports
        if changes:
            self._note("experiment", place, **changes)
        if told is None and status == "skipped":
            told = left_out(self._program, name)
        ended = done.ended(status, told)
        self._note("step", done.at, **ended)
        if status == "skipped" or (status == "completed" and item.stash.get(ENDED, 0)):
            why = ended["error"] or {
                "kind": "precise_enough",
                "message": "cycles were enough",
            }
            for at, step in enumerate(self._plan.steps):
                if step.experiment_id == name and step.status == "pending":
                    self._note("step", at, status="skipped", error=why)
