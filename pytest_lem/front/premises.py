"""Where a session measures: its GPUs, locks and meters, and the laboratory there."""

import time
from pathlib import Path
from typing import Any

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.front.conditions import (
    carbon_factors,
    conditions_of,
    containers_for,
    measured_gpus,
    select_gpus,
    tenants_before,
    thermal_policy,
)
from pytest_lem.front.interpreters import elsewhere, version_of
from pytest_lem.front.items import registry_of
from pytest_lem.front.needs import check_ranks
from pytest_lem.front.parallel import Share
from pytest_lem.front.program import Program
from pytest_lem.front.settings import SETTINGS, meters_of
from pytest_lem.front.traces import Traces
from pytest_lem.machine import environment, gpu
from pytest_lem.machine.locks import GpuLocks
from pytest_lem.machine.processes import Tenancy
from pytest_lem.measure.laboratory import Laboratory, Progress
from pytest_lem.meters.metering import Metering
from pytest_lem.meters.opening import open_meters
from pytest_lem.records.extended import UNREAD, Residue
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.worker.launch.image import Image
from pytest_lem.worker.launch.interpreter import Interpreter


class Premises:
    """The machine as a session uses it, from the first need of it to `close`.

    `gpus` are those of the run, `environment` the facts of the machine: both are empty
    and `laboratory` is None until then.
    """

    def __init__(
        self,
        config: pytest.Config,
        program: Program,
        traces: Traces,
        directory: Path,
        progress: Progress,
        share: Share | None,
    ) -> None:
        self.gpus: list[gpu.Gpu] = []
        self.environment: dict[str, Any] = {}
        self.laboratory: Laboratory | None = None
        self.told: list[str] = []
        self._config = config
        self._settings = config.stash[SETTINGS]
        self._program = program
        self._traces = traces
        self._directory = directory
        self._progress = progress
        self._share = share
        self._tenancies: dict[str, Tenancy] = {}
        self._locks = GpuLocks()

    def open(self) -> Metering:
        """Make the laboratory ready, once; its meters. ConfigError, MeterError."""
        if self.laboratory is None:
            settings = self._settings
            share = self._share
            remote = share is not None and share.remote
            self.gpus = select_gpus(
                settings,
                self._program,
                share.place if share and not remote else None,
                share.gpus if share and remote else 1,
            )
            if share:
                share.check(settings, len(self.gpus))
            check_ranks(
                self._program,
                registry_of(self._config),
                [one.uuid for one in self.gpus],
                "--lem-gpus-per-worker says more" if share else "--lem-gpus names them",
            )
            self._tenancies = tenants_before(settings, self.gpus)
            thermal = thermal_policy(settings, self.gpus)
            metering = open_meters(
                settings["meter"],
                gpus=self.gpus,
                registry=meters_of(self._config),
                telemetry_s=settings["sample-interval"],
                shared=share is not None and not share.alone,
            )
            self._reserve(metering)
            others = self._others().items()
            experiments = self._program.experiments.values()
            self.laboratory = Laboratory(
                metering=metering,
                conditions=conditions_of(
                    settings,
                    self.gpus,
                    metering,
                    thermal,
                    {k: one.path for k, one in others if isinstance(one, Interpreter)},
                    experiments,
                    self._directory.name,
                    beside=share.place[1] - 1 if share else 0,
                ),
                registry=registry_of(self._config),
                log_directory=self._directory,
                progress=self._progress,
                containers=containers_for(
                    {k: one for k, one in others if isinstance(one, Image)},
                    settings,
                    experiments,
                    self.gpus,
                    self._directory,
                ),
            )
            self.laboratory.check_thermal()
        return self.laboratory.metering

    def measuring(self) -> Laboratory:
        """The laboratory, with the facts of the machine taken down before."""
        self.open()
        assert self.laboratory is not None
        if not self.environment:
            self._progress.phase("environment")
            found = environment.collect()
            found["gpu"] = [
                one.to_json() | self._tenancies[one.mig_parent or one.uuid].to_json()
                for one in self.gpus
            ]
            self._config.hook.pytest_lem_environment(environment=found)
            self.environment = found
        return self.laboratory

    def conditions(self) -> dict[str, Any]:
        """What must hold for all cycles of a plan."""
        return {
            "meters": [*self.metering.names] if self.metering else [],
            "gpus": [one.name for one in self.gpus],
        }

    @property
    def meters(self) -> list[dict[str, Any]]:
        """What the meters say of themselves."""
        return self.metering.describe() if self.metering else []

    @property
    def carbon(self) -> dict[str, Any]:
        """What the emissions are made with."""
        return carbon_factors(self._settings, self.laboratory)

    @property
    def problems(self) -> list[str]:
        """What went wrong while engines were closed."""
        return self.laboratory.problems if self.laboratory else []

    def residue(self, spec: EngineSpec) -> Residue:
        """What engines of a spec left in the memory of GPUs."""
        return self.laboratory.residue(spec) if self.laboratory else UNREAD

    @property
    def metering(self) -> Metering | None:
        """The meters; None where nothing was opened."""
        return self.laboratory.metering if self.laboratory else None

    def over(self) -> bool:
        """Whether the time of the session is."""
        if self.laboratory is None:
            return False
        ends_at_s = self.laboratory.conditions.limits.ends_at_s
        return ends_at_s is not None and time.monotonic() >= ends_at_s

    def with_version(self, backend: str) -> str:
        """The backend with its library's version, and where it is, if elsewhere."""
        version, other = version_of(self._config, backend), self._others().get(backend)
        named = f"{backend} {version}" if version else backend
        return f"{named} ({other})" if other else named

    def close(self) -> None:
        """End the laboratory and free the GPUs; whatever interrupts that kills it."""
        try:
            if self.laboratory is not None:
                self.laboratory.close()
        except BaseException:
            if self.laboratory is not None:
                self.laboratory.kill()
            raise
        finally:
            self._locks.release()

    def _others(self) -> dict[str, Interpreter | Image]:
        """Where the backends that are run are, if not here."""
        backends = {one.spec.backend for one in self._program.experiments.values()}
        found = {name: elsewhere(self._config, name) for name in backends}
        return {name: one for name, one in found.items() if one is not None}

    def _reserve(self, metering: Metering) -> None:
        """Record the meters, and keep other sessions off the GPUs that are measured.

        Closes the meters where that cannot be.
        """
        try:
            self._traces.begin(metering)
            if not self._settings["no-lock"]:
                gpus = dict.fromkeys(measured_gpus(metering))
                self._locks.take(gpus, session=self._directory.name)
        except ConfigError:
            metering.stop()
            raise
