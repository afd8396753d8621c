"""The one thread that polls all meters of a run."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from threading import Event, Lock, Thread
from typing import Any

from pytest_lem.errors import MeterError
from pytest_lem.meters import Meter, Reading, Telemetry

_FAILURES_IN_A_ROW = 5
_LOSS_SHARE = 0.8
_GRACE_S = 1.0
_LONGEST_S = 3600.0
_STALLED_S = 1.0

Sink = Callable[[int, list[Reading], list[Telemetry]], None]


@dataclass(slots=True, kw_only=True)
class MeterState:
    """How the polling of one meter went so far.

    `expected` counts the polls made and those that came too late to be made, one for
    each whole period of delay; `failures` counts polls that raised; `cpu_s` is the
    processor time that the polls took. `stalled` is set while a poll takes over a
    second.
    """

    polls: int = 0
    expected: int = 0
    failures: int = 0
    failures_in_a_row: int = 0
    cpu_s: float = 0.0
    reason: str | None = None
    failed: bool = False
    stalled: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """What a record has to say about it."""
        lossy = self.expected > 0 and self.polls < _LOSS_SHARE * self.expected
        named = (
            ("sampler_failed", self.failed),
            ("sampler_stalled", self.stalled),
            ("sampling_loss", lossy),
        )
        return tuple(name for name, holds in named if holds)

    def to_json(self) -> dict[str, Any]:
        """Plain values for the record."""
        data = asdict(self)
        data.pop("failures_in_a_row")
        return {**data, "flags": list(self.flags)}


class Sampler:
    """Polls each meter when it wants to be asked, in one daemon thread.

    A poll that raises is counted; the fifth in a row ends the polling of that meter,
    and the others go on. A poll that never returns is given up by `stop`.
    """

    def __init__(self, meters: Sequence[Meter], sink: Sink) -> None:
        self._meters = list(meters)
        self._sink = sink
        self._states = [MeterState() for _ in self._meters]
        self._lock = Lock()
        self._stop = Event()
        self._inside: tuple[int, float] | None = None
        self._thread = Thread(target=self._run, name="lem-sampler", daemon=True)

    def start(self) -> None:
        """Begin to poll; a sampler that has begun goes on."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> bool:
        """End within the longest interval and a second; False if a poll hangs.

        A meter whose poll hangs is marked failed; what it may still deliver is
        dropped.
        """
        self._stop.set()
        if self._thread.ident is None:
            return True
        longest_s = max(map(_period_s, self._meters), default=0.0)
        self._thread.join(longest_s + _GRACE_S)
        inside = self._inside
        if not self._thread.is_alive() or inside is None:
            return True
        index, since_s = inside
        waited_s = time.monotonic() - since_s
        with self._lock:
            state = self._states[index]
            state.failed = True
            state.reason = f"a poll of it has not returned for {waited_s:.1f} s"
        return False

    def state(self, index: int) -> MeterState:
        """The state of the meter at that place, now."""
        inside = self._inside
        with self._lock:
            found = MeterState(**asdict(self._states[index]))
        if inside is not None and inside[0] == index and not found.failed:
            found.stalled = time.monotonic() - inside[1] > _STALLED_S
        return found

    def _run(self) -> None:
        try:
            self._poll_in_turn()
        except BaseException as error:  # noqa: BLE001  a thread has nobody to tell
            with self._lock:
                for state in self._states:
                    state.failed = True
                    state.reason = f"the sampler ended: {type(error).__name__}: {error}"

    def _poll_in_turn(self) -> None:
        started_s = time.monotonic()
        due = [(started_s, index) for index in range(len(self._meters))]
        heapq.heapify(due)
        while due and not self._stop.is_set():
            due_s, index = heapq.heappop(due)
            if self._stop.wait(max(due_s - time.monotonic(), 0.0)):
                return
            wait_s = self._poll(index, max(time.monotonic() - due_s, 0.0))
            if wait_s is not None:
                heapq.heappush(due, (time.monotonic() + wait_s, index))

    def _poll(self, index: int, late_s: float) -> float | None:
        """Poll one meter; the seconds until its next turn, `None` if it has failed."""
        meter = self._meters[index]
        self._inside = (index, time.monotonic())
        began_s = time.thread_time()
        try:
            readings, telemetry, wait_s = meter.poll()
            if not 0 <= wait_s <= _LONGEST_S:
                raise MeterError(f"it wants to be asked again in {wait_s} s")
            if not self._stop.is_set():
                self._sink(index, readings, telemetry)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a third party's meter
            return self._record_failure(index, late_s, error)
        finally:
            self._inside = None
            with self._lock:
                self._states[index].cpu_s += time.thread_time() - began_s
        self._count(index, late_s, failed=False)
        return wait_s

    def _count(self, index: int, late_s: float, *, failed: bool) -> MeterState:
        with self._lock:
            state = self._states[index]
            state.expected += 1 + int(late_s / _period_s(self._meters[index]))
            state.polls += not failed
            state.failures += failed
            state.failures_in_a_row = state.failures_in_a_row + 1 if failed else 0
            return state

    def _record_failure(
        self, index: int, late_s: float, error: BaseException
    ) -> float | None:
        state = self._count(index, late_s, failed=True)
        with self._lock:
            state.reason = f"{type(error).__name__}: {error}"
            state.failed = state.failures_in_a_row >= _FAILURES_IN_A_ROW
            return None if state.failed else _period_s(self._meters[index])


def _period_s(meter: Meter) -> float:
    """What a meter states, if that can be waited for."""
    stated_s = meter.period_s
    return stated_s if 0 < stated_s <= _LONGEST_S else _GRACE_S
