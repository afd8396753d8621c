"""The energy of any span of a trace, as the session that recorded it would tell."""

from __future__ import annotations

from collections.abc import Collection

from pytest_lem.meters import Device
from pytest_lem.meters.energy import EnergyReading, reckon
from pytest_lem.meters.parts import Part
from pytest_lem.meters.trace import Trace
from pytest_lem.meters.trace.track import Track


class Recount:
    """The devices of a trace on their timelines, meter by meter."""

    def __init__(self, trace: Trace) -> None:
        by_meter: dict[str, list[Track]] = {}
        for track in trace.tracks:
            by_meter.setdefault(track.meter, []).append(track)
        self._tracks = list(by_meter.values())
        self._devices = [[track.device for track in own] for own in self._tracks]
        self._lines = [
            {track.device.id: track.timeline() for track in own} for own in self._tracks
        ]

    def energy(
        self, start_s: float, end_s: float, devices: Collection[str] | None = None
    ) -> EnergyReading:
        """What was drawn between two instants, by all devices or the GPUs named.

        `devices` are GPUs by id, or `cpu`; as in a session CPU and memory stand beside
        GPUs, and are the sum only where no GPU counts.
        """
        wanted = None if devices is None else {*devices} - {"cpu"}

        def part(index: int, device: Device) -> Part:
            track = next(one for one in self._tracks[index] if one.device == device)
            line = self._lines[index][device.id]
            return Part(
                device=device,
                span=line.energy(start_s, end_s),
                meter=track.meter,
                basis=track.basis,
                period_s=line.period_s or 0.0,
            )

        return reckon(self._devices, part, wanted)
