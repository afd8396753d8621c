"""A meter whose sources are on the nodes of a Ray cluster, each read there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from pytest_lem.cluster.connect import connected
from pytest_lem.cluster.facts import on_node
from pytest_lem.cluster.reader import Reader
from pytest_lem.cluster.source import Source, named, short
from pytest_lem.errors import ConfigError, MeterError
from pytest_lem.machine.gpu import Gpu
from pytest_lem.meters import Basis, Device, Reading, Telemetry
from pytest_lem.meters.parts import worst_basis
from pytest_lem.meters.registry import check_names

_POLL_S = 0.1
_PATIENCE_S = 0.5
_OPENED_S = 60.0
_ENDED_S = 5.0
_EXCHANGES = 16


class ClusterMeter:
    """One meter on every node that has it, together.

    Readings carry our clock's time: each answer of a node is an exchange of stamps, so
    what was read lies between two of them. Where a node does not answer, its devices
    tell nothing from then on, and energy over them is null.
    """

    name = "cluster"

    def __init__(self, of: str, address: str = "auto") -> None:
        self.telemetry_s = 0.1
        self._exit = ExitStack()
        try:
            self._ray = self._exit.enter_context(connected(address))
            self._left_out: dict[str, str] = {}
            self._sources = self._open(of)
            for source in self._sources:
                self._exchange(source)
        except BaseException:
            self._exit.close()
            raise
        self._started = False
        self._facts: dict[str, Any] = {}

    def _open(self, of: str) -> list[Source]:
        ray = self._ray
        alive = [one["NodeID"] for one in ray.nodes() if one["Alive"]]
        make = ray.remote(num_cpus=0, num_gpus=0)(Reader)
        actors = {
            one: make.options(scheduling_strategy=on_node(one)).remote(of)
            for one in alive
        }
        asked = {one: actor.describe.remote() for one, actor in actors.items()}
        found: list[Source] = []
        self._bases: list[Basis] = []
        seen: set[tuple[Any, str]] = set()
        for node, answer in asked.items():
            told = self._described(node, answer)
            if told["reason"] is not None:
                self._left_out[node] = told["reason"]
                continue
            devices = named(node, told, seen)
            if not devices:
                self._left_out[node] = "another node of its machine tells the same"
                continue
            found.append(
                Source(
                    node=node,
                    host=told["host"],
                    actor=actors[node],
                    devices=devices,
                    period_s=told["period_s"],
                )
            )
            self._bases.append(told["basis"])
            self.version, self.accuracy = told["version"], told["accuracy"]
        if not found:
            reasons = "; ".join(dict.fromkeys(self._left_out.values()))
            raise MeterError(f"cluster: no node can be metered by {of}: {reasons}")
        return found

    def _described(self, node: str, answer: Any) -> dict[str, Any]:
        try:
            told: dict[str, Any] = self._ray.get(answer, timeout=_OPENED_S)
        except self._ray.exceptions.RayError as error:
            return {"reason": short(error), "host": node}
        return told

    @property
    def basis(self) -> Basis:
        """What the numbers of its worst node are worth."""
        worst = worst_basis(self._bases)
        assert worst is not None
        return worst

    @property
    def period_s(self) -> float:
        """The longest of its sources' periods."""
        return max(source.period_s for source in self._sources)

    def devices(self) -> list[Device]:
        """Those of all nodes; GPUs by UUID, others by their node and name there."""
        return [one for source in self._sources for one in source.devices.values()]

    def poll(self) -> tuple[list[Reading], list[Telemetry], float]:
        """What the nodes have answered since the last poll."""
        if not self._started:
            self._start()
        for source in self._sources:
            if source.asked is None and source.lost is None:
                asked_s = time.monotonic()  # before the question is on its way
                source.asked = (source.actor.poll.remote(), asked_s)
        readings: list[Reading] = []
        telemetry: list[Telemetry] = []
        for source, told in self._answers():
            readings += [source.moved(one) for one in told["readings"]]
            telemetry += [source.at_our_time(one) for one in told["telemetry"]]
            source.period_s = told["period_s"]
        if all(source.lost for source in self._sources):
            raise MeterError(f"cluster: {self._sources[0].lost}")
        return readings, telemetry, _POLL_S

    def _start(self) -> None:
        self._started = True
        self._ray.get(
            [one.actor.start.remote(self.telemetry_s) for one in self._sources],
            timeout=_OPENED_S,
        )

    def _answers(self) -> list[tuple[Source, dict[str, Any]]]:
        """Those that come soon; who is late is waited for at the next poll."""
        waiting = {one.asked[0]: one for one in self._sources if one.asked}
        found = []
        until_s = time.monotonic() + _PATIENCE_S
        while waiting and (left_s := until_s - time.monotonic()) > 0:
            done, _ = self._ray.wait([*waiting], num_returns=1, timeout=left_s)
            heard_s = time.monotonic()
            for answer in done:
                source = waiting.pop(answer)
                asked, source.asked = source.asked, None
                assert asked is not None
                try:
                    told = self._ray.get(answer)
                except self._ray.exceptions.RayError as error:
                    source.lost = f"{source.host} is lost: {short(error)}"
                    continue
                if told["failed"] is not None:
                    source.lost = f"{source.host}: {told['failed']}"
                taken_s, answered_s = told["taken_s"], told["answered_s"]
                source.note(asked[1], taken_s, answered_s, heard_s)
                found.append((source, told))
        return found

    def _exchange(self, source: Source) -> None:
        """Several exchanges before anything is read."""
        for _ in range(_EXCHANGES):
            asked_s = time.monotonic()
            taken_s, answered_s = self._ray.get(
                source.actor.stamp.remote(), timeout=_OPENED_S
            )
            source.note(asked_s, taken_s, answered_s, time.monotonic())

    def residual_s(self, device: str, start_s: float, end_s: float) -> float:
        """How far a node's instants may be from ours in that span."""
        return max(
            source.clock.residual_s(start_s, end_s)
            for source in self._sources
            if device in {one.id for one in source.devices.values()}
        )

    def facts(self) -> dict[str, Any]:
        """Each node's clock, devices and own facts, and who is left out, and why."""
        return {
            "nodes": [
                {
                    "node": source.node,
                    "host": source.host,
                    "devices": [one.id for one in source.devices.values()],
                    "clock": source.clock.relation.to_json(),
                    "lost": source.lost,
                    "meter": self._facts.get(source.node) or self._asked(source),
                }
                for source in self._sources
            ],
            "left_out": dict(self._left_out),
        }

    def _asked(self, source: Source) -> dict[str, Any] | None:
        if source.lost is not None or not self._ray.is_initialized():
            return None
        try:
            told: dict[str, Any] = self._ray.get(
                source.actor.facts.remote(), timeout=_ENDED_S
            )
        except self._ray.exceptions.RayError as error:
            return {"error": short(error)}
        return told

    def close(self) -> None:
        """End the readers; what they found out stays."""
        ray = self._ray
        if ray.is_initialized():
            self._facts = {
                one.node: told
                for one in self._sources
                if (told := self._asked(one)) is not None
            }
            ended = [one.actor.close.remote() for one in self._sources if not one.lost]
            ray.wait(ended, num_returns=len(ended), timeout=_ENDED_S) if ended else None
            for one in self._sources:
                ray.kill(one.actor)
        self._exit.close()


def open_meter(argument: str, gpus: Sequence[Gpu]) -> ClusterMeter:
    """The meter named after the colon on every node, or NVML."""
    del gpus
    of = argument or "nvml"
    if of.partition(":")[0] in ("cluster", "auto", "none"):
        raise ConfigError(
            f"meter cluster:{of}: name one meter of the nodes', such as cluster:nvml"
        )
    check_names([of])
    return ClusterMeter(of)
