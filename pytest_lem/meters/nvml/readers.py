"""Sources that are each looked at when they are due, and none waits for another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Event, Lock, Thread
from typing import Any, Protocol

from pytest_lem.meters import Reading, Telemetry

_HAND_OVER_S = 0.02
_SILENT_S = 1.0
_GRACE_S = 1.0


class Source(Protocol):
    """What is looked at: it says when, and `look` sets that anew, also if it raises."""

    @property
    def due_s(self) -> float:
        """When it is to be looked at."""

    def look(self) -> tuple[list[Reading], list[Telemetry]]:
        """What is new."""


class Readers:
    """Looks at each source when it is due, for a meter that has several.

    A lone source is looked at by whoever polls. Of several each has a daemon thread:
    reads of some milliseconds that follow one another come too late for the edges of
    the last. Sources must release the interpreter's lock while they wait.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = list(sources)
        self._lock = Lock()
        self._stop = Event()
        self._readings: list[Reading] = []
        self._telemetry: list[Telemetry] = []
        self._failures: list[Exception | None] = [None for _ in sources]
        self._inside_s: list[float | None] = [None for _ in sources]
        self._cpu_s: list[float | None] = [None for _ in sources]
        self._threads: list[Thread] = []

    def poll(self) -> tuple[list[Reading], list[Telemetry], float]:
        """What is new, and the seconds until the next poll should come.

        Raises what a source raised, where none has answered.
        """
        if len(self._sources) == 1:
            return self._look_here(self._sources[0])
        if not self._threads:
            self._start()
        with self._lock:
            readings, self._readings = self._readings, []
            telemetry, self._telemetry = self._telemetry, []
            silent = [*map(self._silence, range(len(self._sources)))]
        failures = [failure for failure in silent if failure is not None]
        if failures and len(failures) == len(silent) and not readings:
            raise failures[0]
        return readings, telemetry, _HAND_OVER_S

    def _look_here(
        self, source: Source
    ) -> tuple[list[Reading], list[Telemetry], float]:
        if source.due_s > time.monotonic():
            return [], [], source.due_s - time.monotonic()
        readings, telemetry = source.look()
        return readings, telemetry, max(source.due_s - time.monotonic(), 0.0)

    def _silence(self, place: int) -> Exception | None:
        """Why a source does not answer now; `None` if it does."""
        inside_s = self._inside_s[place]
        waited_s = 0.0 if inside_s is None else time.monotonic() - inside_s
        if waited_s > _SILENT_S:
            return TimeoutError(f"a read has not returned for {waited_s:.1f} s")
        return self._failures[place]

    def _start(self) -> None:
        self._threads = [
            Thread(target=self._watch, args=(k,), name=f"lem-reader-{k}", daemon=True)
            for k in range(len(self._sources))
        ]
        for thread in self._threads:
            thread.start()

    def _watch(self, place: int) -> None:
        source = self._sources[place]
        while not self._stop.wait(max(source.due_s - time.monotonic(), 0.0)):
            self._inside_s[place] = time.monotonic()
            try:
                readings, telemetry = source.look()
            except Exception as error:  # noqa: BLE001  told by the next poll
                self._failures[place] = error
            else:
                with self._lock:
                    self._failures[place] = None
                    self._readings += readings
                    self._telemetry += telemetry
            self._inside_s[place] = None
            self._cpu_s[place] = time.thread_time()

    def facts(self) -> list[dict[str, Any]]:
        """For each source the processor time of its thread, and why it is silent."""
        places = range(len(self._sources))
        return [
            {
                "thread_cpu_s": cpu_s,
                "silent": None if failure is None else repr(failure),
            }
            for cpu_s, failure in zip(
                self._cpu_s, map(self._silence, places), strict=True
            )
        ]

    def stop(self) -> bool:
        """End the threads within a second; False if a source has not returned."""
        self._stop.set()
        end_s = time.monotonic() + _GRACE_S
        for thread in self._threads:
            thread.join(max(end_s - time.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in self._threads)
