"""The thread that sends: never early, in order, and it ends with its block."""

import sys
import threading
import time

import pytest

from pytest_lem.engines.dispatch import Dispatch

MS = 1_000_000


def test_requests_are_sent_in_order_and_never_before_they_are_due():
    """Leaving the block waits for all of them."""
    seen = []
    with Dispatch(
        [0, 0, 5 * MS, 20 * MS], lambda k: seen.append((k, time.monotonic_ns()))
    ) as dispatch:
        assert len(seen) < 4
    assert [place for place, _ in seen] == [0, 1, 2, 3]
    assert all(at >= due for due, (_, at) in zip(dispatch.due_ns, seen, strict=True))
    assert dispatch.due_ns[3] - dispatch.start_ns == 20 * MS


def test_what_fails_while_sending_is_raised_where_the_block_ends():
    """And nothing is sent after it."""
    seen = []

    def send(place):
        seen.append(place)
        raise ValueError(f"request {place}")

    with pytest.raises(ValueError, match="request 0"):
        with Dispatch([0, 0], send):
            pass
    assert seen == [0]


def test_nothing_is_sent_after_the_block_has_failed():
    """The error is the block's own, at once, and the thread is gone."""
    before = threading.active_count()
    with pytest.raises(KeyError, match="engine"):
        with Dispatch([3600 * 1000 * MS], lambda _: None):
            raise KeyError("engine")
    assert threading.active_count() == before


def test_the_interpreter_switches_threads_as_before_afterwards():
    """Within the block sooner, so that a busy thread makes no request late."""
    before = sys.getswitchinterval()
    with Dispatch([0], lambda _: None):
        assert sys.getswitchinterval() < before
    assert sys.getswitchinterval() == before
