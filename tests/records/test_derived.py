"""What is worked out of a cycle's own numbers."""

import pytest

from pytest_lem.records.derived import spent_j

WARM = {
    "policy": "fixed:2",
    "converged": None,
    "cv": None,
    "iterations": 2,
    "duration_s": 1.0,
    "energy_j": 30.0,
}


@pytest.mark.parametrize("status", ["complete", "failed", "rerun"])
def test_joules_were_spent_whatever_became_of_the_cycle(
    make_cycle, make_window, status
):
    """Those of load, warm-up and every window, also where it has no metrics."""
    windows = [make_window(), make_window(kind="latency", index=1)]
    load = {"duration_s": 1.0, "energy_j": 7.0}
    cycle = make_cycle(status=status, load=load, warmup=WARM, windows=windows)
    assert spent_j(cycle) == 7.0 + 30.0 + 2 * 500.0


def test_joules_that_nobody_read_are_unknown_and_not_nothing(make_cycle, make_window):
    """What is known is added up; where nothing is known, neither is the sum."""
    cold = WARM | {"energy_j": None}
    assert spent_j(make_cycle(warmup=cold, windows=[])) is None
    assert spent_j(make_cycle(warmup=cold, windows=[make_window()])) == 500.0
    free = {"duration_s": 1.0, "energy_j": 0.0}
    assert spent_j(make_cycle(load=free)) == 0.0
