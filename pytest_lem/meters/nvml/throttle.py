"""How long a GPU has been slowed down, by the driver's own nanosecond counters."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from pytest_lem.machine import gpu as machine
from pytest_lem.meters import Telemetry

# With the driver's ring, right after a step of the counter: 1 to 2 ms a call (H100).
_POLL_S = 0.5
_FAILURES_IN_A_ROW = 5
# NVML's field ids; `NVML_FI_DEV_PERF_POLICY_*` and `..._CLOCKS_EVENT_REASON_*`. Two
# more, 80 and 81 (clocks below the application's or the base clocks), grow on a GPU at
# rest as well, and are no sign of anything.
FIELDS: Mapping[int, str] = {
    74: "sw_power_cap",
    75: "thermal",
    76: "sync_boost",
    77: "board_limit",
    78: "low_utilisation",
    79: "reliability",
    269: "sw_thermal",
    270: "hw_thermal",
    271: "hw_power_brake",
}


class ThrottleCounters:
    """The throttle counters of one GPU that its driver has: asked once which."""

    def __init__(
        self,
        pynvml: Any,
        handle: Any,
        device: str,
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pynvml = pynvml
        self._handle = handle
        self._device = device
        self._clock_s = clock_s
        self._due_s = float("-inf")
        self._reads = 0
        self._failures_in_a_row = 0
        self._errors: Counter[str] = Counter()
        self._fields = self._supported()

    def _supported(self) -> list[int]:
        """The fields that answer; a driver may know some, and refuse unknown ids."""
        question = self._pynvml.nvmlDeviceGetFieldValues
        found = []
        for field in FIELDS:
            answer = machine.ask(self._pynvml, question, self._handle, [field])
            if answer is not None and _number(answer[0]) is not None:
                found.append(field)
        return found

    def poll(self) -> list[Telemetry]:
        """All counters at one instant, at most twice a second; else nothing."""
        before_s = self._clock_s()
        if not self._fields or before_s < self._due_s:
            return []
        self._due_s = before_s + _POLL_S
        try:
            answers = self._pynvml.nvmlDeviceGetFieldValues(self._handle, self._fields)
        except self._pynvml.NVMLError as error:
            self._fail(str(error))
            return []
        values = [_number(one) for one in answers]
        if None in values:
            self._fail("a counter that was there has no value")
            return []
        self._failures_in_a_row = 0
        self._reads += 1
        told = {
            FIELDS[field]: value
            for field, value in zip(self._fields, values, strict=True)
            if value is not None
        }
        time_s = (before_s + self._clock_s()) / 2
        return [Telemetry(device=self._device, time_s=time_s, throttle_ns=told)]

    def _fail(self, reason: str) -> None:
        self._errors[f"throttle: {reason}"] += 1
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= _FAILURES_IN_A_ROW:
            self._fields = []

    def facts(self) -> dict[str, Any]:
        """The counters in use, how often they were read, and what went wrong."""
        return {
            "counters": [FIELDS[field] for field in self._fields],
            "reads": self._reads,
            "errors": dict(self._errors),
        }


def _number(answer: Any) -> int | None:
    """The value of an NVML field in the member that its type names."""
    if answer.nvmlReturn != 0:
        return None
    return int(getattr(answer.value, machine.MEMBERS[answer.valueType]))
