"""A step of the plan while it runs: what was kept and told of it, and how it ended."""

import time
from dataclasses import dataclass, field
from typing import Any

from pytest_lem.measure.notebook import now
from pytest_lem.records.derived import spent_j
from pytest_lem.records.record import Cycle
from pytest_lem.schedule.planfile import Status

_COUNTED = ("complete", "rerun", "trial")


@dataclass(slots=True, kw_only=True)
class Step:
    """One cycle of the plan, by its place there.

    `results` are the hashes of its lines in the journal, `last` the last of these
    cycles, `reports` those of its test.
    """

    at: int
    began_s: float = field(default_factory=time.monotonic)
    results: list[str] = field(default_factory=list)
    energy_j: float | None = None
    gap_s: float = 0.0
    last: Cycle | None = None
    reports: list[dict[str, Any]] = field(default_factory=list)

    def keep(self, digest: str, cycle: Cycle) -> None:
        """Take in a cycle that is in the journal, by the hash of its line."""
        self.last = cycle
        if cycle.status in _COUNTED:
            self.results.append(digest)
        self.gap_s += cycle.timing.get("gap_s") or 0.0
        if (energy_j := spent_j(cycle)) is not None:
            self.energy_j = (self.energy_j or 0.0) + energy_j

    def status(self, fates: set[str]) -> Status:
        """What became of it, by the fates of its test's phases and its last cycle."""
        last = self.last
        if "failed" in fates:
            return "failed"
        if "skipped" in fates or (last is None and "xfailed" in fates):
            return "skipped"
        whole = last is not None and last.status == "complete"
        return "completed" if whole else "failed"

    def ended(self, status: Status, error: dict[str, str] | None) -> dict[str, Any]:
        """What the plan has of it from now on; without `error` what its cycle says."""
        return {
            "status": status,
            "ended_at": now(),
            "duration_s": round(time.monotonic() - self.began_s - self.gap_s, 3),
            "energy_j": self.energy_j,
            "error": error or self._error(status),
            "results": self.results if status == "completed" else [],
        }

    def _error(self, status: Status) -> dict[str, str] | None:
        if status == "completed":
            return None
        if self.last is not None and self.last.error is not None:
            found = self.last.error
            return {"kind": found.kind, "message": found.message}
        return {"kind": "test", "message": f"the test was {status} outside of a cycle"}
