"""The meters of a run: sampled together by one thread, asked for any span."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from threading import Condition
from types import TracebackType
from typing import Any, Self

from pytest_lem.errors import MeterError
from pytest_lem.meters import Basis, Device, Meter, Reading, Telemetry
from pytest_lem.meters.energy import EnergyReading, counts, nothing, reckon, tellers
from pytest_lem.meters.intake import Intake, close, told_by
from pytest_lem.meters.parts import Part, blurred, worst_basis
from pytest_lem.meters.sampler import Sampler
from pytest_lem.meters.telemetry import TelemetryLog
from pytest_lem.meters.timeline import Timeline
from pytest_lem.meters.trace import Mark
from pytest_lem.meters.trace.tape import Tape

_FIRST_READING_S = 2.0
_SETTLE_PERIODS = 3.0
_SETTLE_S = 1.0


class Metering:
    """Meters, a timeline for each device, and the sampler that fills them.

    Each scope is told by the first meter that has it, and the others are held against
    it: two of one thing never add.
    `absent` says why there is no meter; `parents` maps MIG instances to their GPUs.
    """

    def __init__(
        self,
        meters: Sequence[Meter],
        *,
        absent: str = "no_meter",
        parents: Mapping[str, str] | None = None,
    ) -> None:
        self._meters = list(meters)
        self._absent = absent
        self._parents = dict(parents or {})
        self._intakes = [Intake(meter) for meter in self._meters]
        self._devices = [intake.devices for intake in self._intakes]
        self._timelines = [
            {device.id: Timeline(device) for device in devices}
            for devices in self._devices
        ]
        self._primary, _ = tellers(self._devices)
        self._telemetry = TelemetryLog()
        self._arrived = Condition()
        self._sampler = Sampler(self._meters, self._take)
        self._stopped = False
        self._tape: Tape | None = None
        self._about: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Start, and give itself."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; an exception of the body goes on unchanged."""
        self.stop()

    def record(self, tape: Tape) -> None:
        """Hand on all that comes, and marks, to a tape as well; before the start."""
        self._tape = tape
        for index, meter in enumerate(self._meters):
            for device in self._devices[index]:
                tape.add(index, meter.name, meter.basis, device)

    def concern(self, **about: Any) -> None:
        """Say what the marks from now on belong to."""
        self._about = about

    def mark(
        self,
        name: str,
        start_s: float,
        end_s: float,
        *,
        devices: Collection[str] | None = None,
        **about: Any,
    ) -> None:
        """Name a span on the tape, if there is one; `devices` as for `energy`."""
        if self._tape is None:
            return
        whole = devices and sorted({self._parents.get(uuid, uuid) for uuid in devices})
        self._tape.mark(
            Mark(
                name=name,
                start_s=start_s,
                end_s=end_s,
                devices=None if whole is None else tuple(whole),
                about={**self._about, **about},
            )
        )

    def start(self) -> None:
        """Begin to sample; returns when each timeline has begun, or after 2 s."""
        self._sampler.start()
        self.settle(float("-inf"), timeout_s=_FIRST_READING_S)

    def stop(self) -> None:
        """End the sampling and let go of the meters; timelines can still be asked.

        A meter whose poll hangs is not closed: its library is still inside the call.
        """
        if self._stopped:
            return
        self._stopped = True
        ended = self._sampler.stop()
        for index, meter in enumerate(self._meters):
            if ended or not self._sampler.state(index).failed:
                close(meter)

    def _take(
        self, index: int, readings: list[Reading], telemetry: list[Telemetry]
    ) -> None:
        good, fault = self._intakes[index].sift(readings)
        for reading in good:
            self._timelines[index][reading.device].add(reading)
        self._telemetry.add(telemetry)
        if self._tape is not None:
            self._tape.take(index, [*readings, *telemetry])
        with self._arrived:
            self._arrived.notify_all()
        if fault is not None:
            raise MeterError(fault)

    def settle(self, end_s: float, timeout_s: float | None = None) -> bool:
        """Wait until every timeline covers an instant; False if one does not in time.

        Throttle counters that are being read are waited for as well.
        Without a limit of its own it waits for three of the longest periods and a
        second. A meter that has failed is not waited for.
        """
        if timeout_s is None:
            longest_s = max(
                map(self._meter_period_s, range(len(self._meters))), default=0
            )
            timeout_s = _SETTLE_PERIODS * longest_s + _SETTLE_S
        with self._arrived:
            self._arrived.wait_for(lambda: not self._awaited(end_s), timeout_s)
        return all(
            timeline.covers(end_s)
            for timelines in self._timelines
            for timeline in timelines.values()
        )

    def _awaited(self, end_s: float) -> bool:
        return not self._telemetry.counted(end_s) or any(
            not timeline.covers(end_s)
            for index, timelines in enumerate(self._timelines)
            if not self._sampler.state(index).failed
            for timeline in timelines.values()
        )

    def energy(
        self, start_s: float, end_s: float, *, devices: Collection[str] | None = None
    ) -> EnergyReading:
        """What was drawn between two instants, by all devices or the GPUs named.

        `devices` are those an engine uses: GPU UUIDs, or `cpu`. CPU and memory always
        count, and so do replayed and synthetic devices, which stand in for others. A
        GPU that is named and not metered makes the sum null.
        """
        if not self._meters:
            return nothing(self._absent)
        wanted = self._wanted(devices)
        return reckon(
            self._devices,
            lambda index, device: self._part(index, device, start_s, end_s),
            wanted,
        )

    def ring_energy(
        self, start_s: float, end_s: float, *, devices: Collection[str] | None = None
    ) -> tuple[float | None, str | None]:
        """What the same GPUs drew by their rings alone, or `None` and the reason."""
        wanted = self._wanted(devices)
        told = [
            self._timelines[index][device.id].ring_energy(start_s, end_s)
            for index, device in self._primary
            if device.scope == "gpu" and self._counts(index, device, wanted)
        ]
        known = [ring_j for ring_j, _ in told if ring_j is not None]
        if not told or len(known) < len(told):
            return None, next((why for _, why in told if why), "no_ring")
        return sum(known), None

    def telling(self, devices: Collection[str]) -> list[list[str]]:
        """Meter, version, id and name of each device that counts towards `devices`."""
        wanted = self._wanted(devices)
        return [
            [meter.name, meter.version, device.id, device.name]
            for index, device in self._primary
            if self._counts(index, device, wanted)
            for meter in [self._meters[index]]
        ]

    def tells_gpus(self, devices: Collection[str]) -> bool:
        """Whether the energy of these GPUs is metered, or of one that stands in."""
        wanted = self._wanted(devices)
        return any(
            device.scope == "gpu" and self._counts(index, device, wanted)
            for index, device in self._primary
        )

    def _wanted(self, devices: Collection[str] | None) -> set[str] | None:
        if devices is None:
            return None
        return {self._parents.get(uuid, uuid) for uuid in devices} - {"cpu"}

    def _counts(self, index: int, device: Device, wanted: set[str] | None) -> bool:
        return counts(device, self._meters[index].basis, wanted)

    def _part(self, index: int, device: Device, start_s: float, end_s: float) -> Part:
        flags = self._sampler.state(index).flags
        if self._intakes[index].refused:
            flags += ("readings_refused",)
        if device.id in self._parents.values():
            flags += ("mig_whole_gpu",)
        meter, span = self._meters[index], self._timelines[index][device.id]
        return Part(
            device=device,
            span=blurred(meter, span.energy(start_s, end_s), device.id),
            meter=meter.name,
            basis=meter.basis,
            period_s=self._meter_period_s(index),
            flags=flags,
        )

    def telemetry(
        self, start_s: float, end_s: float, *, devices: Collection[str] | None = None
    ) -> list[Telemetry]:
        """The cheap facts between two instants, both included, of all GPUs or some.

        A MIG instance is told by its GPU; a replayed GPU stands for any.
        """
        found = self._telemetry.between(start_s, end_s)
        return [one for one in found if self._concerns(one.device, devices)]

    def throttle_s(
        self, start_s: float, end_s: float, *, devices: Collection[str] | None = None
    ) -> dict[str, dict[str, float]]:
        """Seconds by reason that GPUs were slowed down, by their drivers' counters.

        GPUs without such counters, or without reads around the span, are left out.
        """
        found = self._telemetry.throttle_s(start_s, end_s)
        return {k: one for k, one in found.items() if self._concerns(k, devices)}

    def _concerns(self, device: str, devices: Collection[str] | None) -> bool:
        if devices is None or self.basis == "replayed":
            return True
        return device in {self._parents.get(uuid, uuid) for uuid in devices}

    def trim(self, before_s: float) -> None:
        """Forget what is not needed for spans that start at `before_s` or later."""
        for timelines in self._timelines:
            for timeline in timelines.values():
                timeline.trim(before_s)
        self._telemetry.trim(before_s)

    @property
    def period_s(self) -> float:
        """The longest period of a counter that tells; 0 without any.

        It is measured, or as the meter states it until it can be.
        """
        return max(
            (self._meter_period_s(index) for index, _ in self._primary), default=0.0
        )

    def _meter_period_s(self, index: int) -> float:
        stated_s = self._meters[index].period_s
        lines = self._timelines[index].values()
        return max((line.period_s or stated_s for line in lines), default=stated_s)

    @property
    def basis(self) -> Basis | None:
        """What the energy is worth: that of its worst meter; `None` without any."""
        return worst_basis(self._meters[index].basis for index, _ in self._primary)

    @property
    def names(self) -> list[str]:
        """The meters, in the order in which they were asked for."""
        return [meter.name for meter in self._meters]

    def describe(self) -> list[dict[str, Any]]:
        """All about each meter, for the record."""
        return [
            {
                "name": meter.name,
                "version": meter.version,
                "basis": meter.basis,
                "accuracy": meter.accuracy,
                "period_s": self._meter_period_s(index),
                "devices": [
                    self._timelines[index][device.id].describe()
                    for device in self._devices[index]
                ],
                "sampler": self._sampler.state(index).to_json(),
                "facts": told_by(meter),
            }
            for index, meter in enumerate(self._meters)
        ]
