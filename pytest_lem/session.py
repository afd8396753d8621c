"""What lasts as long as the pytest session: experiments, laboratory, results."""

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pytest

import pytest_lem
from pytest_lem.errors import ConfigError, LemError
from pytest_lem.items import is_measured, registry_of
from pytest_lem.machine import environment, gpu
from pytest_lem.measure.cycle import LEAST_SECONDS, run_cycle
from pytest_lem.measure.idle import IdlePolicy
from pytest_lem.measure.laboratory import Bench, Conditions, Laboratory, Progress
from pytest_lem.measure.prompting import recipe
from pytest_lem.meters.metering import Metering, open_meters
from pytest_lem.options import Settings, meters_of
from pytest_lem.records.assemble import experiment_record
from pytest_lem.records.export import write_csv, write_json
from pytest_lem.records.journal import Journal
from pytest_lem.records.record import Cycle, Plan, Record, Session
from pytest_lem.records.result import Result
from pytest_lem.report.terminal import Outline
from pytest_lem.schedule.plan import Entry, Step, estimate_s, make_plan
from pytest_lem.spec.effort import Effort
from pytest_lem.spec.experiment import Experiment, identity
from pytest_lem.spec.workload import Workload
from pytest_lem.worker.devices import select
from pytest_lem.workload.models import resolve


class LemSession:
    """The experiments of a pytest session and everything found out about them.

    Created when the first item, fixture or option needs it, so that other people's
    sessions never pay for it.
    """

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        progress: Progress,
    ) -> None:
        self.config = config
        self.settings = settings
        self.experiments: dict[str, Experiment] = {}
        self.ready = False
        self.final: Record | None = None
        self.skipped: list[dict[str, str]] = []
        self.started_at = datetime.now(UTC).astimezone()
        self.id = f"{self.started_at:%Y%m%dT%H%M%S}-{os.getpid()}"
        self.directory = config.rootpath / ".lem" / "sessions" / self.id
        self._progress = progress
        self._identities: dict[str, str] = {}
        self._cycles: dict[str, list[Cycle]] = {}
        self._executed: list[dict[str, Any]] = []
        self._items: dict[str, pytest.Item] = {}
        self._laboratory: Laboratory | None = None
        self._journal: Journal | None = None
        self._environment: dict[str, Any] | None = None
        self.gpus: list[gpu.Gpu] = []

    def describe(self) -> Outline:
        """What this session is about to do."""
        settings = self.settings
        backends = sorted({one.spec.backend for one in self.experiments.values()})
        meter = "not opened"
        if self._laboratory is not None:
            basis = self.metering.basis
            meter = ", ".join(self.metering.names) or "none"
            meter += "" if basis in (None, "measured") else f" ({basis})"
        reports = [settings["json"], settings["csv"]]
        return Outline(
            version=pytest_lem.__version__,
            backends=[_with_version(name) for name in backends],
            meter=meter,
            gpus=[one.name for one in self.gpus],
            experiments=len(self.entries),
            steps=len(self.steps),
            estimate_s=self.estimate_s,
            order=settings["order"],
            seed=settings["seed"],
            reports=[str(path) for path in reports if path],
        )

    def add(self, item: pytest.Item, experiment: Experiment) -> None:
        """Plan an experiment; raises ConfigError where its model cannot be."""
        self._identities[experiment.id] = self._identify(experiment)
        self.experiments[experiment.id] = experiment
        self._items[experiment.id] = item

    def keep(self, names: Collection[str]) -> None:
        """Leave out of the plan all experiments but those of these names."""
        kept = {k: one for k, one in self.experiments.items() if k in names}
        self.experiments = kept

    def open(self) -> list[str]:
        """Make the laboratory ready; a line for each thing that stands against it."""
        try:
            self.laboratory  # noqa: B018
        except LemError as error:
            return str(error).splitlines()
        return []

    @property
    def entries(self) -> dict[str, Entry]:
        """The measured experiments as the plan sees them, in order of collection."""
        return {
            name: Entry(
                engine=one.spec.model_dump_json(),
                cycles=one.effort.cycles,
                window_s=_window_s(one.effort),
            )
            for name, one in self.experiments.items()
            if is_measured(self._items[name])
        }

    @cached_property
    def steps(self) -> list[tuple[str, int]]:
        """The plan: which experiment's which cycle, in the order they run."""
        names, entries = list(self.entries), list(self.entries.values())
        order, seed = self.settings["order"], self.settings["seed"]
        steps = make_plan(entries, order, seed)
        return [(names[step.position], step.cycle) for step in steps]

    @property
    def estimate_s(self) -> float:
        """Roughly how long the plan takes."""
        names, entries = list(self.entries), list(self.entries.values())
        idle_s = (
            0.0 if self.settings["idle"] == "off" else self.settings["idle-seconds"]
        )
        steps = [Step(position=names.index(n), cycle=k) for n, k in self.steps]
        return estimate_s(entries, steps, idle_s)

    @property
    def laboratory(self) -> Laboratory:
        """The laboratory, made at first use; raises MeterError, ConfigError."""
        if self._laboratory is None:
            self.gpus = self._select_gpus()
            self._laboratory = Laboratory(
                metering=self._open_meters(),
                conditions=self._conditions(),
                registry=registry_of(self.config),
                log_directory=self.directory,
                progress=self._progress,
            )
        return self._laboratory

    @property
    def metering(self) -> Metering:
        """The meters of the session."""
        return self.laboratory.metering

    def bench(self, item_id: str, turn: int) -> Bench:
        """The engine of an experiment, loaded."""
        experiment = self.experiments[item_id]
        self._prepare()
        return self.laboratory.bench(experiment.spec, turn, experiment.effort.timeout)

    def measure(self, item_id: str, cycle: int, workload: Workload | None) -> Result:
        """Run one cycle of an experiment and pool it with those before."""
        experiment = self.experiments[item_id]
        if workload is not None:
            experiment = self._late(experiment, workload, cycle)
        self._prepare()
        run_cycle(
            self.laboratory, experiment, cycle, lambda one: self._keep(item_id, one)
        )
        return self.result(item_id)

    def result(self, item_id: str) -> Result:
        """The cycles of an experiment so far."""
        return Result(self._cycles.get(item_id, []))

    def record(self, *, interrupted: bool = False) -> Record:
        """Everything known, as the report holds it."""
        experiments = [
            experiment_record(experiment, self._identities[key], cycles)
            for key, experiment in self.experiments.items()
            if (cycles := self._cycles.get(key))
        ]
        return Record(
            session=self._session("interrupted" if interrupted else "complete"),
            environment=self._environment or {},
            plan=Plan(
                order=self.settings["order"],
                seed=self.settings["seed"],
                planned=len(self.steps),
                executed=self._executed,
                skipped=self.skipped,
            ),
            experiments=experiments,
        )

    def finish(self, *, interrupted: bool) -> None:
        """End the laboratory and write the reports, if anything was measured.

        A second interrupt while it ends kills at once.
        """
        try:
            if self._laboratory is not None:
                self._laboratory.close()
        except BaseException:
            if self._laboratory is not None:
                self._laboratory.kill()
            raise
        finally:
            self.final = self._write(interrupted=interrupted)

    @property
    def problems(self) -> list[str]:
        """What went wrong while engines were closed, a line each."""
        return self._laboratory.problems if self._laboratory else []

    def _write(self, *, interrupted: bool) -> Record | None:
        if not self._cycles:
            return None
        record = self.record(interrupted=interrupted)
        for experiment in record.experiments:
            item = self._items[experiment.id]
            item.ihook.pytest_lem_record(record=experiment, item=item)
        if self.settings["json"]:
            write_json(record, self.settings["json"])
        if self.settings["csv"]:
            write_csv(record, self.settings["csv"])
        return record

    def _keep(self, item_id: str, cycle: Cycle) -> None:
        if self._journal is None:
            self._journal = Journal(self.directory)
        self._journal.append(item_id, self._identities[item_id], cycle)
        self._cycles.setdefault(item_id, []).append(cycle)
        self._executed.append(
            {
                "experiment_id": item_id,
                "cycle": cycle.index,
                "status": cycle.status,
                "started_at": cycle.started_at,
                "ended_at": cycle.ended_at,
            }
        )
        item = self._items[item_id]
        item.ihook.pytest_lem_cycle_finish(item=item, cycle=cycle)

    def _late(
        self, experiment: Experiment, workload: Workload, cycle: int
    ) -> Experiment:
        late = replace(experiment, workload=workload)
        known, found = self._identities[experiment.id], self._identify(late)
        if cycle > 0 and found != known:
            raise ConfigError(
                f"cycle {cycle} measures other work than cycle 0 (identity {found}, "
                f"was {known}): give lem() the same Workload in every cycle"
            )
        self._identities[experiment.id] = found
        self.experiments[experiment.id] = late
        return late

    def _identify(self, experiment: Experiment) -> str:
        model = resolve(experiment.spec.model, backend=experiment.spec.backend)
        _check_context(model.config, experiment.workload)
        texts = recipe(experiment.workload) if experiment.workload.prompts else None
        return identity(
            experiment.spec,
            experiment.workload,
            model.fingerprint,
            texts["recipe_sha256"] if texts else None,
        )

    def _prepare(self) -> None:
        """Facts of the machine, once, before anything is measured."""
        if self._environment is not None:
            return
        self._progress.phase("environment")
        found = environment.collect()
        found["gpu"] = [one.to_json() for one in self.gpus]
        self.config.hook.pytest_lem_environment(environment=found)
        self._environment = found

    def _select_gpus(self) -> list[gpu.Gpu]:
        """The GPUs of the run: those asked for, else the first visible one."""
        there = gpu.discover()
        asked = self.settings["gpus"]
        uses_cpu = [_cpu_asked(one) for one in self.experiments.values()]
        chosen = select(
            [one.uuid for one in there],
            environ=os.environ,
            asked=asked,
            cpu_asked=bool(uses_cpu) and all(uses_cpu),
        )
        by_uuid = {one.uuid: one for one in there}
        found = [by_uuid[uuid] for uuid in chosen if uuid in by_uuid]
        return found if asked else found[:1]

    def _open_meters(self) -> Metering:
        return open_meters(
            self.settings["meter"], gpus=self.gpus, registry=meters_of(self.config)
        )

    def _conditions(self) -> Conditions:
        settings = self.settings
        return Conditions(
            idle=IdlePolicy(mode=settings["idle"], seconds=settings["idle-seconds"]),
            gpus=[one.uuid for one in self.gpus],
            strict=settings["strict"],
            carbon_intensity_g_per_kwh=settings["carbon-intensity"],
            pue=settings["pue"],
            warmup_unconverged=settings["warmup-unconverged"],
        )

    def _session(self, status: Any) -> Session:
        settings, rootpath = self.settings, self.config.rootpath
        return Session(
            id=self.id,
            started_at=self.started_at.isoformat(timespec="milliseconds"),
            plugin_version=pytest_lem.__version__,
            command=environment.mask(["pytest", *_arguments(self.config)]),
            label=None,
            order=settings["order"],
            seed=settings["seed"],
            git=environment.git(rootpath),
            meters=self.metering.describe() if self._laboratory else [],
            carbon={
                "intensity_g_per_kwh": settings["carbon-intensity"],
                "pue": settings["pue"],
            },
            status=status,
        )


def _window_s(effort: Effort) -> float:
    """What the windows of one cycle take, at the least."""
    least_s = LEAST_SECONDS if effort.windows == "auto" else 0.0
    return min(effort.max_seconds, least_s)


def _with_version(backend: str) -> str:
    """The backend with its library's version, read without importing it."""
    try:
        return f"{backend} {version(backend)}"
    except PackageNotFoundError:
        return backend


def _arguments(config: pytest.Config) -> Sequence[str]:
    return [str(one) for one in config.invocation_params.args]


def _cpu_asked(experiment: Experiment) -> bool:
    return experiment.spec.engine.get("device") == "cpu" or (
        experiment.spec.backend == "fake"
    )


def _check_context(config: dict[str, Any] | None, workload: Workload) -> None:
    limit = (config or {}).get("max_position_embeddings")
    if limit is None or workload.prompts is not None:
        return
    asked = workload.synthetic_input_tokens + workload.output_tokens
    if asked > limit:
        raise ConfigError(
            f"input_tokens={workload.synthetic_input_tokens} and "
            f"output_tokens={workload.output_tokens} make {asked}; the model's context "
            f"holds {limit}"
        )
