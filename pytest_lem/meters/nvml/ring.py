"""The driver's ring of power samples, on the monotonic clock."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from pytest_lem.machine.gpu import MEMBERS
from pytest_lem.meters import Reading

_POLL_S = 0.5
# What the ring can hold: 120 samples 20 ms apart, and some more.
_RING_S = 3.0
# Clocks that drift or are slewed stay below this between two polls.
_STEP_S = 0.01
_AHEAD_S = 0.05
_FAILURES_IN_A_ROW = 5


class PowerRing:
    """`NVML_TOTAL_POWER_SAMPLES` of one GPU: power some 20 ms apart, read in lots.

    Its stamps are wall-clock microseconds. Each poll relates the two clocks anew.
    When the wall clock has stepped, the ring is left alone until all that it holds was
    stamped since: those seconds are a gap. A sample that would lie in the future, or
    further back than the ring reaches, is rejected and counted.
    """

    def __init__(
        self,
        pynvml: Any,
        handle: Any,
        device: str,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._pynvml = pynvml
        self._handle = handle
        self._device = device
        self._clock_s = clock_s
        self._wall_s = wall_s
        self._due_s = float("-inf")
        self._offset_s: float | None = None
        self._blur_s = 0.0
        self._seen_us = 0
        self._samples = 0
        self._rejected = 0
        self._clock_steps = 0
        self._failures_in_a_row = 0
        self._errors: Counter[str] = Counter()
        self._reason: str | None = None

    def poll(self) -> list[Reading]:
        """The samples since the last poll, at most twice a second; else none."""
        now_s = self._clock_s()
        if self._reason is not None or now_s < self._due_s:
            return []
        self._due_s = now_s + _POLL_S
        if self._stepped():
            self._due_s = now_s + _RING_S
            return []
        samples = self._fetch()
        fresh = [sample for sample in samples if sample[0] > self._seen_us]
        self._seen_us = max((stamp_us for stamp_us, _ in fresh), default=self._seen_us)
        readings = [self._reading(*sample) for sample in sorted(fresh)]
        latest_s = self._clock_s() + _AHEAD_S
        held = [
            reading
            for reading in readings
            if now_s - 2 * _RING_S <= reading.before_s <= latest_s
        ]
        self._samples += len(held)
        self._rejected += len(readings) - len(held)
        return held

    def _stepped(self) -> bool:
        """Relate the clocks; whether they have moved against each other."""
        before_s, wall_s, after_s = self._clock_s(), self._wall_s(), self._clock_s()
        offset_s, earlier_s = wall_s - (before_s + after_s) / 2, self._offset_s
        # Between two looks at a clock the thread may have been put aside.
        blur_s = after_s - before_s
        tolerance_s = _STEP_S + blur_s + self._blur_s
        self._offset_s, self._blur_s = offset_s, blur_s
        if earlier_s is None or abs(offset_s - earlier_s) <= tolerance_s:
            return False
        self._clock_steps += 1
        self._seen_us = 0
        return True

    def _fetch(self) -> list[tuple[int, float]]:
        """Stamps and watts of what is new; none, and the reason, if it is refused."""
        nv = self._pynvml
        try:
            kind, samples = nv.nvmlDeviceGetSamples(
                self._handle, nv.NVML_TOTAL_POWER_SAMPLES, self._seen_us
            )
        except nv.NVMLError as error:
            # So it says that there is nothing new.
            if error.value != nv.NVML_ERROR_NOT_FOUND:
                self._fail(error)
            return []
        self._failures_in_a_row = 0
        return [
            (sample.timeStamp, getattr(sample.sampleValue, MEMBERS[kind]) / 1e3)
            for sample in samples
            if sample.timeStamp
        ]

    def _fail(self, error: Any) -> None:
        self._errors[f"ring: {error}"] += 1
        self._failures_in_a_row += 1
        unsupported = error.value == self._pynvml.NVML_ERROR_NOT_SUPPORTED
        if unsupported or self._failures_in_a_row >= _FAILURES_IN_A_ROW:
            self._reason = str(error)

    def _reading(self, stamp_us: int, power_w: float) -> Reading:
        assert self._offset_s is not None
        time_s = stamp_us / 1e6 - self._offset_s
        return Reading(
            device=self._device, before_s=time_s, after_s=time_s, ring_w=power_w
        )

    def facts(self) -> dict[str, Any]:
        """Samples taken and rejected, steps of the wall clock, why it was given up."""
        return {
            "samples": self._samples,
            "rejected": self._rejected,
            "clock_steps": self._clock_steps,
            "errors": dict(self._errors),
            "given_up": self._reason,
        }
