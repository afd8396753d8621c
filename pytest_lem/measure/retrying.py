"""A cycle that failed of what may pass by itself is run again after a while."""

import time
from collections.abc import Callable

from pytest_lem.errors import LemError, is_transient
from pytest_lem.measure.cycle import run_cycle
from pytest_lem.measure.laboratory import Laboratory
from pytest_lem.records.record import Cycle
from pytest_lem.spec.experiment import Experiment

FIRST_S = 2.0
LONGEST_S = 60.0


def try_cycle(
    lab: Laboratory,
    experiment: Experiment,
    index: int,
    keep: Callable[[Cycle], None],
    *,
    retries: int,
) -> Cycle:
    """Run a cycle, and up to `retries` times again if it fails of something transient.

    Before each further try is a wait, of 2 s at first, then twice as long, at most
    60 s. A try that another follows is kept with status `rerun`. Raises what went
    wrong in the last.
    """
    attempt = 0
    for tried in range(retries):
        wait_s = min(FIRST_S * 2**tried, LONGEST_S)
        tries = _Tries(lab, keep, wait_s)
        try:
            return run_cycle(lab, experiment, index, tries.keep, attempt=attempt)
        except LemError:
            if tries.failed is None:
                raise
        lab.back_off(wait_s)
        attempt = tries.failed.attempt + 1
    return run_cycle(lab, experiment, index, keep, attempt=attempt)


class _Tries:
    """Keeps cycles; `failed` is the one after which another try may end otherwise."""

    def __init__(
        self, lab: Laboratory, keep: Callable[[Cycle], None], wait_s: float
    ) -> None:
        self.failed: Cycle | None = None
        self._lab = lab
        self._keep = keep
        self._wait_s = wait_s

    def keep(self, cycle: Cycle) -> None:
        if _may_pass(self._lab, cycle, self._wait_s):
            self.failed = cycle
            cycle = cycle.model_copy(update={"status": "rerun"})
        self._keep(cycle)


def _may_pass(lab: Laboratory, cycle: Cycle, wait_s: float) -> bool:
    """Whether another try may end otherwise, and there is time for one."""
    if cycle.status != "failed" or cycle.error is None:
        return False
    over_s = lab.conditions.limits.ends_at_s
    time_left = over_s is None or time.monotonic() + wait_s < over_s
    return time_left and is_transient(cycle.error.kind)
