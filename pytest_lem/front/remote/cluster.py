"""The premises of a driver: no machine, but what the nodes of a cluster tell."""

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_lem.cluster.connect import connected
from pytest_lem.cluster.handshake import Collected, hashes
from pytest_lem.cluster.nodes import Node, Wishes
from pytest_lem.cluster.places import Map
from pytest_lem.cluster.pool import Pool
from pytest_lem.cluster.seat import Seat
from pytest_lem.errors import ConfigError
from pytest_lem.front.interpreters import version_of
from pytest_lem.front.items import registry_of
from pytest_lem.front.needs import check_seats
from pytest_lem.front.parallel import Share
from pytest_lem.front.program import Program
from pytest_lem.front.remote.greeting import carried, greeting, wishes_of
from pytest_lem.front.settings import SETTINGS
from pytest_lem.records.extended import UNREAD, Residue
from pytest_lem.spec.engine import EngineSpec

GRACE_S = 5.0
"""What a session on a node gets to end by itself, before it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldMeters:
    """The meters of the nodes, by what they said."""

    names: list[str]
    basis: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldGpu:
    """A GPU of a node."""

    uuid: str
    name: str
    driver_version: str | None


class Cluster:
    """The nodes as a session uses them, from the first need of them to `close`.

    It has what `Premises` have; `environment` is that of the first node with the GPUs
    of all, and each place's own in its `places`. `places` are those that have joined.
    """

    def __init__(
        self, config: pytest.Config, program: Program, session: str, started_at: str
    ) -> None:
        self.gpus: list[ToldGpu] = []
        self.environment: dict[str, Any] = {}
        self.meters: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self.told: list[str] = []
        self.metering: ToldMeters | None = None
        self.carbon: dict[str, Any] = {}
        self._config = config
        self._settings = config.stash[SETTINGS]
        self._program = program
        self._session = session
        self._started_at = started_at
        self._residues: dict[str, Residue] = {}
        self._lost: set[str] = set()
        self._wishes = Wishes()
        self.places = Map({}, "place")
        self._starts = 0
        self._ends_at_s: float | None = None
        self._collected: Collected | None = None
        self._connection = ExitStack()
        self._pool: Pool | None = None

    @property
    def pool(self) -> Pool:
        """The sessions on the nodes."""
        assert self._pool is not None
        return self._pool

    def open(self) -> ToldMeters:
        """Start sessions on the nodes, once; their meters. Raises ConfigError."""
        if self.metering is None:
            settings = self._settings
            said = f"{settings.says('launch')}={settings['launch']}"
            try:
                self._open()
            except ConfigError as error:
                raise ConfigError(f"{said}: {error}") from error
        assert self.metering is not None
        return self.metering

    def _open(self) -> None:
        settings, root = self._settings, self._config.rootpath
        limit_s = settings["session-timeout"]
        self._ends_at_s = limit_s and time.monotonic() + limit_s
        launch = settings["launch"]
        address = "auto" if launch == "ray" else launch
        ship = root if settings["ship"] else None
        self._connection.enter_context(connected(address, ship))
        files = (item.path for item in self._program.items.values())
        self._collected = Collected(
            experiments=self._program.identities, files=hashes(files, root)
        )
        self._wishes = wishes_of(settings, self._program)
        self.places = Map(self._wishes.placements, settings["affinity"])
        registry = registry_of(self._config)
        check_seats(self._program, registry, self._wishes.gpus)
        pool = self._pool = Pool(
            self._wishes,
            greet=self._greet,
            judge=self._judge,
            silence_s=settings["node-timeout"],
        )
        pool.open(settings["start-timeout"])
        if pool.headless:
            raise ConfigError(pool.headless)
        if not pool.joined:
            lines = [f"{name}: {why}" for name, why in pool.left_out.items()]
            raise ConfigError("\n".join(["no node can measure", *lines]))
        for seat in pool.joined:
            self.meet(seat)

    def meet(self, seat: Seat) -> None:
        """Take down what a session said of the machine it is on."""
        self.places.add(seat)
        facts = seat.facts
        self.metering = self.metering or ToldMeters(
            names=facts["names"], basis=facts["basis"]
        )
        self.carbon = self.carbon or facts["carbon"]
        self.meters += [one for one in facts["meters"] if one not in self.meters]
        environment = facts["environment"] | {"host": seat.node.host}
        known = {one.uuid for one in self.gpus}
        for one in environment["gpu"]:
            if one["uuid"] not in known:
                told = {key: one.get(key) for key in ("uuid", "name", "driver_version")}
                self.gpus.append(ToldGpu(**told))
        if not self.environment:
            self.environment = {**facts["environment"], "places": {}}
        places = self.environment["places"]
        places[seat.place] = environment
        gpus = {gpu["uuid"]: gpu for one in places.values() for gpu in one["gpu"]}
        self.environment["gpu"] = [*gpus.values()]

    def conditions(self) -> dict[str, Any]:
        """What must hold for all cycles of a plan, whichever nodes there are."""
        asked = [*self._settings["meter"]]
        return {"meters": asked, "gpus": [], "launch": "ray"}

    def residue(self, spec: EngineSpec) -> Residue:
        """What engines of a spec left in the memory of GPUs, as the last node said."""
        return self._residues.get(spec.model_dump_json(), UNREAD)

    def over(self) -> bool:
        """Whether the time of the session is."""
        return self._ends_at_s is not None and time.monotonic() >= self._ends_at_s

    def with_version(self, backend: str) -> str:
        """The backend with its library's version here, which nodes have as well."""
        version = version_of(self._config, backend)
        return f"{backend} {version}" if version else backend

    def lose(self, seat: Seat, why: str) -> None:
        """Tell of a seat that is gone before its time, and where its files are."""
        self._lost.add(str(seat))
        self.told.append(f"lost {seat}: {why.splitlines()[0]}{seat.files}")

    def interrupt(self, seat: Seat) -> None:
        """Tell of a seat that was ended while it ran, and where its files are."""
        self.told.append(f"interrupted {seat}{seat.files}")

    def close(self) -> None:
        """End all sessions on the nodes, and take in what they have left to say."""
        try:
            self._end_pool()
        finally:
            self._connection.close()

    def _end_pool(self) -> None:
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        late = [*pool.joined]
        for seat, told in pool.close(GRACE_S):
            late.remove(seat)
            lines = [*told.get("problems", []), *told.get("unwritten", [])]
            lines += told.get("died", "").splitlines()[:1]
            self.problems += [f"{seat}: {line}" for line in lines]
            if not told.get("well"):
                self.told.append(f"{seat} did not end well{seat.files}")
            for spec, residue in told.get("residues", {}).items():
                self._residues[spec] = Residue(**residue)
        for seat in late:
            self.lose(seat, "its session did not end in time")
        for name, why in pool.left_out.items():
            if name not in self._lost:
                self.told.append(f"left out {name}: {why}")

    def _greet(
        self, node: Node, hello: Mapping[str, Any]
    ) -> tuple[dict[str, Any], str, dict[str, str]]:
        """What a session on that node is told, its folder, and its variables."""
        self._starts += 1
        share = Share(
            session=self._session,
            started_at=self._started_at,
            command=[],
            worker=f"{node.host}-{node.id[:8]}-{self._starts}",
            place=(0, node.seats(self._wishes)),
            problems=[],
            remote=True,
            gpus=self._wishes.gpus,
        )
        shipped = Path(hello["folder"]) if self._settings["ship"] else None
        told, folder = greeting(self._config, share, shipped)
        if self._wishes.exclusive:
            told["arguments"].append("--lem-require-exclusive")
        return told, folder, carried(os.environ)

    def _judge(self, facts: Mapping[str, Any]) -> list[str]:
        assert self._collected is not None
        return list(self._collected.unlike(facts))
