"""The cheap facts of all GPUs of a run, in order of time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from operator import attrgetter
from threading import Lock

from pytest_lem.meters import Telemetry

_TIME = attrgetter("time_s")


class TelemetryLog:
    """Telemetry, added by one thread and asked for by any."""

    def __init__(self) -> None:
        self._entries: list[Telemetry] = []
        self._lock = Lock()

    def add(self, entries: Iterable[Telemetry]) -> None:
        """Take in what a poll told."""
        with self._lock:
            for entry in entries:
                insort(self._entries, entry, key=_TIME)

    def between(self, start_s: float, end_s: float) -> list[Telemetry]:
        """What was told between two instants, both included."""
        with self._lock:
            first = bisect_left(self._entries, start_s, key=_TIME)
            return self._entries[first : bisect_right(self._entries, end_s, key=_TIME)]

    def trim(self, before_s: float) -> None:
        """Forget what is older."""
        with self._lock:
            del self._entries[: bisect_left(self._entries, before_s, key=_TIME)]
