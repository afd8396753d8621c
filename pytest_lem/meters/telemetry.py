"""The cheap facts of all GPUs of a run, in order of time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from threading import Lock

from pytest_lem.meters import Telemetry

_TIME = attrgetter("time_s")
# Throttle counters that nothing was heard of for so long are not waited for.
_SILENT_S = 2.0


class TelemetryLog:
    """Telemetry, added by one thread and asked for by any.

    Throttle counters are kept apart: they are asked for by the time between two reads.
    """

    def __init__(self) -> None:
        self._entries: list[Telemetry] = []
        self._counters: dict[str, list[Telemetry]] = {}
        self._lock = Lock()

    def add(self, entries: Iterable[Telemetry]) -> None:
        """Take in what a poll told."""
        with self._lock:
            for entry in entries:
                counted = entry.throttle_ns is not None
                own = self._counters.setdefault(entry.device, []) if counted else None
                insort(self._entries if own is None else own, entry, key=_TIME)

    def between(self, start_s: float, end_s: float) -> list[Telemetry]:
        """What was told between two instants, both included."""
        with self._lock:
            first = bisect_left(self._entries, start_s, key=_TIME)
            return self._entries[first : bisect_right(self._entries, end_s, key=_TIME)]

    def throttle_s(self, start_s: float, end_s: float) -> dict[str, dict[str, float]]:
        """Seconds by reason that each GPU's throttle counters grew between instants.

        Between two reads a counter is taken to grow evenly. GPUs whose reads do not
        hold the span, or whose counters fell within it, are left out.
        """
        with self._lock:
            found = {
                device: _grown(reads, start_s, end_s)
                for device, reads in self._counters.items()
            }
        return {device: grown for device, grown in found.items() if grown is not None}

    def counted(self, end_s: float) -> bool:
        """Whether all throttle counters that are still read have been, since then."""
        with self._lock:
            last = [reads[-1].time_s for reads in self._counters.values() if reads]
        return not any(end_s - _SILENT_S < time_s < end_s for time_s in last)

    def trim(self, before_s: float) -> None:
        """Forget what is older."""
        with self._lock:
            for entries in (self._entries, *self._counters.values()):
                del entries[: bisect_left(entries, before_s, key=_TIME)]


def _grown(
    reads: Sequence[Telemetry], start_s: float, end_s: float
) -> dict[str, float] | None:
    first = bisect_right(reads, start_s, key=_TIME) - 1
    last = bisect_left(reads, end_s, key=_TIME)
    if first < 0 or last >= len(reads):
        return None
    start_ns, end_ns = _at(reads, start_s), _at(reads, end_s)
    grown = {
        name: (end_ns[name] - start_ns[name]) / 1e9 for name in start_ns.keys() & end_ns
    }
    return None if min(grown.values(), default=0.0) < 0 else grown


def _at(reads: Sequence[Telemetry], time_s: float) -> Mapping[str, float]:
    """The counters at an instant between two reads."""
    place = bisect_left(reads, time_s, key=_TIME)
    later = reads[place]
    known = later.throttle_ns or {}
    if later.time_s == time_s:
        return known
    earlier = reads[place - 1]
    share = (time_s - earlier.time_s) / (later.time_s - earlier.time_s)
    before = earlier.throttle_ns or {}
    return {
        name: before[name] + share * (known[name] - before[name])
        for name in known.keys() & before.keys()
    }
