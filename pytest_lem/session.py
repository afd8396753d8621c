"""What lasts as long as the pytest session: program, laboratory, results."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest

import pytest_lem
from pytest_lem.conditions import (
    carbon_factors,
    check_ranks,
    conditions_of,
    containers_for,
    idle_policy,
    measured_gpus,
    select_gpus,
    tenants_before,
    thermal_policy,
)
from pytest_lem.errors import ConfigError, LemError
from pytest_lem.interpreters import elsewhere, version_of
from pytest_lem.items import registry_of
from pytest_lem.live import progress_of
from pytest_lem.machine import environment, gpu
from pytest_lem.machine.locks import GpuLocks
from pytest_lem.machine.processes import Tenancy
from pytest_lem.measure.custom import CustomCycle
from pytest_lem.measure.cycle import run_cycle
from pytest_lem.measure.laboratory import Bench, Laboratory, Progress
from pytest_lem.meters.metering import Metering
from pytest_lem.meters.opening import open_meters
from pytest_lem.program import Program
from pytest_lem.records.assemble import experiment_record
from pytest_lem.records.export import write_csv, write_json
from pytest_lem.records.journal import Journal
from pytest_lem.records.record import Cycle, Plan, Record, Session
from pytest_lem.records.result import Result
from pytest_lem.report.terminal import Outline
from pytest_lem.settings import SETTINGS, Settings, meters_of
from pytest_lem.spec.workload import Workload
from pytest_lem.stash import SESSION
from pytest_lem.traces import Traces
from pytest_lem.worker.launch.image import Image
from pytest_lem.worker.launch.interpreter import Interpreter


class LemSession:
    """The program of a pytest session and everything found out about it.

    Created when the first item, fixture or option needs it, so that other people's
    sessions never pay for it. When it has ended, `final` is the record, `problems` what
    went wrong while engines were closed, and `unwritten` the reports that could not be.
    """

    def __init__(
        self, config: pytest.Config, settings: Settings, progress: Progress
    ) -> None:
        self.config = config
        self.settings = settings
        self.program = Program(order=settings["order"], seed=settings["seed"])
        self.ready = False
        self.final: Record | None = None
        self.problems: list[str] = []
        self.unwritten: list[str] = []
        self._progress = progress
        self._started_at = datetime.now(UTC).astimezone()
        self._id = f"{self._started_at:%Y%m%dT%H%M%S}-{os.getpid()}"
        self._directory = config.rootpath / ".lem" / "sessions" / self._id
        self._traces = Traces(settings, self._id, self._directory / "trace")
        self._timeseries: dict[str, Any] | None = None
        self._cycles: dict[str, list[Cycle]] = {}
        self._executed: list[dict[str, Any]] = []
        self._gpus: list[gpu.Gpu] = []
        self._tenancies: dict[str, Tenancy] = {}
        self._laboratory: Laboratory | None = None
        self._locks = GpuLocks()
        self._journal: Journal | None = None
        self._environment: dict[str, Any] | None = None

    def open(self) -> list[str]:
        """Make the laboratory ready; a line for each thing that stands against it."""
        try:
            self._open()
        except LemError as error:
            return str(error).splitlines()
        return []

    def describe(self) -> Outline:
        """What this session is about to do."""
        settings, program = self.settings, self.program
        backends = sorted({one.spec.backend for one in program.experiments.values()})
        reports = [settings[name] for name in ("json", "csv", "traces")]
        idle = idle_policy(settings)
        return Outline(
            version=pytest_lem.__version__,
            backends=[self._with_version(name) for name in backends],
            meter=_meter(self._laboratory.metering if self._laboratory else None),
            gpus=[one.name for one in self._gpus],
            experiments=len(program.entries),
            steps=len(program.steps),
            estimate_s=program.estimate_s(idle.before_s, idle.after_s),
            order=program.order,
            seed=program.seed,
            reports=[str(path) for path in reports if path],
        )

    @property
    def metering(self) -> Metering:
        """The meters of the session; raises MeterError, ConfigError at first use."""
        return self._open().metering

    def bench(self, item_id: str, turn: int) -> Bench:
        """The engine of an experiment, loaded."""
        experiment = self.program.experiments[item_id]
        self._look_around()
        return self._open().bench(experiment, turn)

    def measure(self, item_id: str, cycle: int, workload: Workload | None) -> Result:
        """Run one cycle of an experiment and pool it with those before."""
        experiment = self.program.experiments[item_id]
        if workload is not None:
            experiment = self.program.late(item_id, workload, cycle)
        laboratory = self._open()
        self._look_around()
        run_cycle(laboratory, experiment, cycle, lambda one: self._keep(item_id, one))
        return self.result(item_id)

    def custom(self, item_id: str, cycle: int) -> CustomCycle:
        """One cycle of an experiment whose windows its test opens itself."""
        laboratory = self._open()
        self._look_around()
        return CustomCycle(
            laboratory,
            self.program.experiments[item_id],
            cycle,
            identify=lambda work: self.program.counted(item_id, work, cycle),
            keep=lambda one: self._keep(item_id, one),
        )

    def result(self, item_id: str) -> Result:
        """The cycles of an experiment so far."""
        return Result(self._cycles.get(item_id, []))

    def over(self) -> str | None:
        """Why nothing more is measured; None while there is time."""
        laboratory = self._laboratory
        ends_at_s = laboratory and laboratory.conditions.limits.ends_at_s
        if ends_at_s and time.monotonic() >= ends_at_s:
            return f"{self.settings.says('session-timeout')} is over"
        return None

    def finish(self, *, interrupted: bool) -> None:
        """End the laboratory and write the reports, if anything was measured.

        A second interrupt while it ends kills at once; the reports are written all
        the same.
        """
        laboratory = self._laboratory
        try:
            if laboratory is not None:
                laboratory.close()
        except BaseException:
            if laboratory is not None:
                laboratory.kill()
            raise
        finally:
            self._locks.release()
            self.problems += laboratory.problems if laboratory else []
            self._save_traces()
            if self._cycles:
                self.final = self._record("interrupted" if interrupted else "complete")
                self._publish(self.final)

    def _save_traces(self) -> None:
        """Write what the meters gave; the reports come whether or not that fails."""
        told = self._laboratory.metering.describe() if self._laboratory else []
        meta: dict[str, Any] = {
            "session": self._id,
            "clock": "CLOCK_MONOTONIC seconds",
            "plugin_version": pytest_lem.__version__,
            "meters": told,
        }
        if self._gpus:
            meta |= {"driver": self._gpus[0].driver_version, "gpu": self._gpus[0].name}
        self._timeseries = self._traces.save(meta)
        if self._traces.problem is not None:
            self.unwritten.append(self._traces.problem)

    def _publish(self, record: Record) -> None:
        items = self.program.items
        for one in record.experiments:
            items[one.id].ihook.pytest_lem_record(record=one, item=items[one.id])
        self._write(write_json, record, self.settings["json"])
        self._write(write_csv, record, self.settings["csv"])

    def _write(
        self,
        write: Callable[[Record, Path], None],
        record: Record,
        path: Path | None,
    ) -> None:
        """Write a report; where that fails the journal still has every cycle."""
        try:
            if path is not None:
                write(record, path)
        except OSError as error:
            self.unwritten.append(
                f"report {path} could not be written: {error}; every cycle is in "
                f"{self._directory / 'cycles.jsonl'}"
            )

    def _keep(self, item_id: str, cycle: Cycle) -> None:
        if self._journal is None:
            self._journal = Journal(self._directory)
        self._journal.append(item_id, self.program.identities[item_id], cycle)
        self._traces.flush()
        self._cycles.setdefault(item_id, []).append(cycle)
        self._executed.append(
            {
                "experiment_id": item_id,
                "cycle": cycle.index,
                "attempt": cycle.attempt,
                "status": cycle.status,
                "started_at": cycle.started_at,
                "ended_at": cycle.ended_at,
            }
        )
        item = self.program.items[item_id]
        item.ihook.pytest_lem_cycle_finish(item=item, cycle=cycle)

    def _open(self) -> Laboratory:
        if self._laboratory is None:
            settings = self.settings
            self._gpus = select_gpus(settings, self.program)
            check_ranks(self.program, registry_of(self.config), self._gpus)
            self._tenancies = tenants_before(settings, self._gpus)
            thermal = thermal_policy(settings, self._gpus)
            metering = open_meters(
                settings["meter"],
                gpus=self._gpus,
                registry=meters_of(self.config),
                telemetry_s=settings["sample-interval"],
            )
            self._reserve(metering)
            images = {k: v for k, v in self._others().items() if isinstance(v, Image)}
            self._laboratory = Laboratory(
                metering=metering,
                conditions=conditions_of(
                    settings,
                    self._gpus,
                    metering,
                    thermal,
                    self._pythons(),
                    self.program.experiments.values(),
                ),
                registry=registry_of(self.config),
                log_directory=self._directory,
                progress=self._progress,
                containers=containers_for(
                    images,
                    settings,
                    self.program.experiments.values(),
                    self._gpus,
                    self._directory,
                ),
            )
            self._laboratory.check_thermal()
        return self._laboratory

    def _pythons(self) -> dict[str, str]:
        """The other Pythons of the backends that are run."""
        found = self._others().items()
        return {k: one.path for k, one in found if isinstance(one, Interpreter)}

    def _others(self) -> dict[str, Interpreter | Image]:
        """Where the backends that are run are, if not here."""
        backends = {one.spec.backend for one in self.program.experiments.values()}
        found = {name: elsewhere(self.config, name) for name in backends}
        return {name: one for name, one in found.items() if one is not None}

    def _with_version(self, backend: str) -> str:
        """The backend with its library's version, and where it is, if elsewhere."""
        version, other = version_of(self.config, backend), self._others().get(backend)
        named = f"{backend} {version}" if version else backend
        return f"{named} ({other})" if other else named

    def _reserve(self, metering: Metering) -> None:
        """Record the meters, and keep other sessions off the GPUs that are measured.

        Closes the meters where that cannot be.
        """
        try:
            self._traces.begin(metering)
            if not self.settings["no-lock"]:
                gpus = dict.fromkeys(measured_gpus(metering))
                self._locks.take(gpus, session=self._id)
        except ConfigError:
            metering.stop()
            raise

    def _look_around(self) -> None:
        """Facts of the machine, once, before anything is measured."""
        if self._environment is not None:
            return
        self._progress.phase("environment")
        found = environment.collect()
        found["gpu"] = [
            one.to_json() | self._tenancies[one.mig_parent or one.uuid].to_json()
            for one in self._gpus
        ]
        self.config.hook.pytest_lem_environment(environment=found)
        self._environment = found

    def _record(self, status: Literal["complete", "interrupted"]) -> Record:
        program = self.program
        return Record(
            session=self._session(status),
            environment=self._environment or {},
            plan=Plan(
                order=program.order,
                seed=program.seed,
                planned=len(program.steps),
                executed=self._executed,
                skipped=program.skipped,
            ),
            timeseries=self._timeseries,
            experiments=[
                experiment_record(
                    one,
                    program.identities[name],
                    self._cycles[name],
                    self._open().residue(one.spec),
                )
                for name, one in program.experiments.items()
                if name in self._cycles
            ],
        )

    def _session(self, status: Literal["complete", "interrupted"]) -> Session:
        settings = self.settings
        arguments = [str(one) for one in self.config.invocation_params.args]
        return Session(
            id=self._id,
            started_at=self._started_at.isoformat(timespec="milliseconds"),
            plugin_version=pytest_lem.__version__,
            command=environment.mask(["pytest", *arguments]),
            label=None,
            order=self.program.order,
            seed=self.program.seed,
            git=environment.git(self.config.rootpath),
            meters=self._laboratory.metering.describe() if self._laboratory else [],
            carbon=carbon_factors(settings, self._laboratory),
            status=status,
            warnings_ignored=self.settings["ignore-backend-warnings"],
        )


def session_of(config: pytest.Config) -> LemSession:
    """The session's state, made when it is first needed."""
    if SESSION not in config.stash:
        settings = config.stash[SETTINGS]
        config.stash[SESSION] = LemSession(config, settings, progress_of(config))
    found: LemSession = config.stash[SESSION]
    return found


def _meter(metering: Metering | None) -> str:
    """The meters in words, with what their numbers are worth."""
    if metering is None:
        return "not opened"
    names = ", ".join(metering.names) or "none"
    return (
        names if metering.basis in (None, "measured") else f"{names} ({metering.basis})"
    )
