"""When a counter is read."""

import random

import pytest

from pytest_lem.meters.nvml.phase import PhaseLock


def drive(lock, *, seconds, period_s, read_s=0.003, jitter_s=0.001, late_s=0.0005):
    """Simulate reads of a staircase; returns bracket widths and the number of reads."""
    rng = random.Random(3)
    now_s, edges, next_edge_s = 0.0, 0, period_s
    brackets, reads, last_before_s, value = [], 0, 0.0, 0
    while now_s < seconds:
        now_s = max(now_s, lock.due_s) + rng.uniform(0, late_s)
        while next_edge_s <= now_s + read_s / 2:
            edges += 1
            next_edge_s = (edges + 1) * period_s + rng.gauss(0, jitter_s)
        lock.observe(now_s, now_s + read_s, float(edges))
        reads += 1
        if edges != value:
            brackets.append(now_s + read_s - last_before_s)
            value = edges
        last_before_s, now_s = now_s, now_s + read_s
    return brackets, reads


@pytest.mark.parametrize("period_s", [0.1, 0.02, 0.5])
def test_the_period_is_learnt(period_s):
    """Whatever the chip's period is, it is found by reading."""
    lock = PhaseLock()
    drive(lock, seconds=60 * period_s, period_s=period_s, jitter_s=period_s / 100)
    assert lock.period_s == pytest.approx(period_s, rel=0.05)


def test_edges_are_bracketed_closely_with_few_reads():
    """Once locked, an edge costs about three reads and is known to some 8 ms."""
    lock = PhaseLock()
    drive(lock, seconds=1.0, period_s=0.1)
    brackets, reads = drive(lock_after := PhaseLock(), seconds=100.0, period_s=0.1)
    assert reads / len(brackets) < 4
    assert sorted(brackets)[len(brackets) // 2] < 0.01
    assert lock_after.missed < 0.06 * len(brackets)


def test_a_counter_that_stands_still_is_read_slowly():
    """An idle or dead counter is not hammered."""
    lock = PhaseLock()
    drive(lock, seconds=3.0, period_s=0.1)
    now_s, reads = 3.0, 0
    while now_s < 13.0:
        now_s = max(now_s, lock.due_s)
        lock.observe(now_s, now_s + 0.003, 29.0)
        reads += 1
        now_s += 0.003
    assert reads < 600
