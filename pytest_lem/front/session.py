"""What lasts as long as the pytest session: program, premises, findings."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import pytest

from pytest_lem.errors import ConfigError, LemError, StoreError
from pytest_lem.front.account import put_part, so_far
from pytest_lem.front.findings import Findings
from pytest_lem.front.gating import Gating
from pytest_lem.front.live import progress_of
from pytest_lem.front.naming import name_of
from pytest_lem.front.options.cluster import LOCAL
from pytest_lem.front.outlining import outline
from pytest_lem.front.parallel import Parts, share_of
from pytest_lem.front.planning import Planning
from pytest_lem.front.premises import Premises
from pytest_lem.front.program import Program
from pytest_lem.front.remote.cluster import Cluster
from pytest_lem.front.searching import Searches
from pytest_lem.front.settings import SETTINGS, Settings
from pytest_lem.front.stash import FATES, SESSION
from pytest_lem.front.storing import Storing
from pytest_lem.front.streak import Streak
from pytest_lem.front.sweeps import Sweeps
from pytest_lem.front.traces import Traces
from pytest_lem.machine import environment
from pytest_lem.measure.custom import CustomCycle
from pytest_lem.measure.laboratory import Bench, Laboratory, Progress
from pytest_lem.measure.retrying import try_cycle
from pytest_lem.meters.metering import Metering
from pytest_lem.records.record import Cycle
from pytest_lem.records.result import Result
from pytest_lem.report.gate import failure
from pytest_lem.report.summary import Summary
from pytest_lem.report.terminal import Outline
from pytest_lem.spec.workload import Workload
from pytest_lem.store.place import Place


class LemSession:
    """The program of a pytest session and everything found out about it.

    Created when the first item, fixture or option needs it, so that other people's
    sessions never pay for it. When it has ended, `final` is what people are shown of
    its record, and `problems` what went wrong while engines were closed.
    """

    def __init__(
        self, config: pytest.Config, settings: Settings, progress: Progress
    ) -> None:
        self.config = config
        self.settings = settings
        chosen = settings["order-seed"]
        self.program = Program(
            order=settings["order"],
            seed=settings["seed"] if chosen is None else chosen,
            search=settings["search"],
            isolation=settings["isolation"],
        )
        self.searches = Searches(settings["search"])
        self.ready = False
        self.final: Summary | None = None
        self.problems: list[str] = []
        self.share = share_of(config)
        self.name = name = name_of(config, settings, self.share)
        directory = name.directory
        self.parts = Parts(directory)
        self.traces = Traces(
            settings, name.process, directory / f"trace-{name.process}"
        )
        self.findings = Findings(self.program, settings, directory)
        self.sweeps = Sweeps(settings, self.program, self.findings)
        self.gating = Gating(settings, config.rootpath, self.program)
        self.streak = Streak(settings)
        self.planning = Planning(config, self.program, directory)
        self.storing = Storing(settings, config.rootpath)
        self.premises: Premises | Cluster
        if settings["launch"] == LOCAL:
            self.premises = Premises(
                config, self.program, self.traces, directory, progress, self.share
            )
        else:
            self.premises = Cluster(config, self.program, name.session, name.started_at)

    def open(self) -> list[str]:
        """Make all ready to measure; a line for each thing that stands against it."""
        try:
            self.storing.open()
            self.gating.open()
            self.sweeps.check(
                metered=bool(self.premises.open().names),
                shared=self.share is not None and not self.share.remote,
            )
        except LemError as error:
            return str(error).splitlines()
        return []

    def describe(self) -> Outline:
        """What this session is about to do."""
        return outline(self)

    @property
    def metering(self) -> Metering:
        """The meters of the session; raises MeterError, ConfigError at first use."""
        assert isinstance(self.premises, Premises)
        return self.premises.open()

    @property
    def unwritten(self) -> list[str]:
        """A line for each report, record or trace that could not be written."""
        problem = self.traces.problem
        found = [one for one in (problem, self.planning.problem) if one]
        found += self.findings.unwritten
        return found + self.storing.problems

    @property
    def _laboratory(self) -> Laboratory:
        """Where this process measures; the driver of a cluster does not."""
        assert isinstance(self.premises, Premises)
        return self.premises.measuring()

    def bench(self, item_id: str, turn: int) -> Bench:
        """The engine of an experiment, loaded."""
        experiment = self.program.experiments[item_id]
        return self._laboratory.bench(experiment, turn)

    def measure(self, item_id: str, cycle: int, workload: Workload | None) -> Result:
        """Run one cycle of an experiment and pool it with those before."""
        experiment = self.program.experiments[item_id]
        if workload is not None:
            experiment = self.program.late(item_id, workload, cycle)
        laboratory = self._laboratory

        def keep(one: Cycle) -> None:
            self._keep(item_id, one)

        experiment = self.searches.at_found(laboratory, experiment, cycle, keep)
        retries = self.settings["retries"]
        try_cycle(laboratory, experiment, cycle, keep, retries=retries)
        return self.result(item_id)

    def custom(self, item_id: str, cycle: int) -> CustomCycle:
        """One cycle of an experiment whose windows its test opens itself."""
        workload = self.program.experiments[item_id].workload
        for name in ("arrivals", "concurrency"):
            if getattr(workload, name) is not None:
                raise ConfigError(
                    f"{name} and lem.window() exclude each other: a test's own loop "
                    "says itself when it sends"
                )
        return CustomCycle(
            self._laboratory,
            self.program.experiments[item_id],
            cycle,
            identify=lambda work: self.program.counted(item_id, work, cycle),
            keep=lambda one: self._keep(item_id, one),
        )

    def result(self, item_id: str) -> Result:
        """The cycles of an experiment so far."""
        return self.findings.result(item_id)

    def enough(self, item_id: str) -> bool:
        """Whether an experiment is done before its plan is, being precise enough."""
        return self.findings.enough(item_id)

    @contextmanager
    def ending(self, item: pytest.Item, report: pytest.TestReport) -> Iterator[None]:
        """Let a test fail whose cycles cannot be read back."""
        try:
            yield
        except StoreError as error:
            item.stash.setdefault(FATES, set()).add("failed")
            report.outcome, report.longrepr = "failed", f"{error.kind}: {error}"

    def conclude(self, item_id: str) -> Result:
        """The cycles of a finished experiment, whose record goes to the store."""
        if self.storing.place is not None and self.findings.has(item_id):
            self.storing.put(lambda: so_far(self, item_id))
        return self.result(item_id)

    def judge(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Let a test fail whose experiment is worse than its reference."""
        name = item.nodeid
        if not report.passed or hasattr(report, "wasxfail"):
            return
        if self.findings.has(name) and self.gating.judges(name):
            verdict, found = self.gating.judge(so_far(self, name))
            if verdict is not None:
                item.user_properties.append(("lem_verdict", verdict))
            if found:
                report.outcome, report.longrepr = "failed", failure(found)

    @cached_property
    def git(self) -> dict[str, Any] | None:
        """The commit that the session measures, as far as it is in one."""
        return environment.git(self.config.rootpath)

    @property
    def store(self) -> Place | None:
        """Where the records are kept; None where that was not asked for."""
        return self.storing.place

    @property
    def told(self) -> list[str]:
        """A line for each label given or not, and for what was left out or is lost."""
        told = [*self.sweeps.told, *self.storing.told, *self.findings.told]
        return [*told, *self.premises.told]

    @property
    def left(self) -> str | None:
        """What of the plan is still to run, in words; None if nothing is."""
        return self.planning.left()

    def over(self) -> str | None:
        """Why nothing more is measured; None while there is time, and room."""
        if self.planning.problem:
            return self.planning.problem
        if self.premises.over():
            return f"{self.settings.says('session-timeout')} is over"
        return None

    def take(self, item_id: str, cycle: Cycle) -> None:
        """Take in a cycle, on disk first; raises StoreError."""
        try:
            digest = self.findings.keep(item_id, cycle)
        except StoreError as error:
            self.planning.problem = error.message
            raise
        self.planning.kept(item_id, digest, cycle)

    def _keep(self, item_id: str, cycle: Cycle) -> None:
        self.take(item_id, cycle)
        if cycle.raw_path is not None:
            self.findings.share(so_far(self, item_id), cycle)
        self.traces.flush()
        if self.share is not None and not self.share.remote:
            put_part(self, so_far(self, item_id))
        item = self.program.items[item_id]
        item.ihook.pytest_lem_cycle_finish(item=item, cycle=cycle)


def session_of(config: pytest.Config) -> LemSession:
    """The session's state, made when it is first needed."""
    if SESSION not in config.stash:
        settings = config.stash[SETTINGS]
        config.stash[SESSION] = LemSession(config, settings, progress_of(config))
    found: LemSession = config.stash[SESSION]
    return found
