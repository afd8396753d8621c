"""Who sends requests: when they are due, or when others have ended."""

import asyncio
import threading
import time

import pytest

from pytest_lem.engines import GenerateOptions
from pytest_lem.engines.clients import Clients, in_rounds, in_tasks

MS = 1_000_000


def options(**changes):
    return GenerateOptions(output_tokens=1, **changes)


def test_in_a_closed_loop_a_request_follows_each_that_has_ended():
    """As many as asked for at first; all of them where nothing is asked for."""
    sent = []
    with Clients(4, options(concurrency=2), sent.append) as clients:
        assert sent == [0, 1]
        clients.ended()
        assert sent == [0, 1, 2]
        for _ in range(3):
            clients.ended()
    assert sent == [0, 1, 2, 3]
    assert clients.sent_ns == sorted(clients.sent_ns)
    with Clients(3, options(), sent.append):
        assert sent[4:] == [0, 1, 2]


def test_an_engine_of_whole_batches_takes_what_has_come_while_it_was_busy():
    """Up to the batch size, in the order in which requests came."""
    came = threading.Event()

    def run(places):
        assert came.wait(60)
        return list(places)

    threading.Timer(0.5, came.set).start()
    asked = options(batch_size=2, due_ns=(0, 250 * MS, 251 * MS, 252 * MS))
    rounds, clients = in_rounds(4, asked, run)
    assert [one.places for one in rounds] == [[0], [1, 2], [3]]
    assert all(one.start_ns <= one.end_ns for one in rounds)
    for due, sent in zip(clients.due_ns, clients.sent_ns, strict=True):
        assert due <= sent


def test_tasks_begin_when_they_are_sent_and_end_for_those_who_wait():
    """No more at once than were asked for; or each at its own time."""
    there, most = 0, 0

    async def serve(_place):
        nonlocal there, most
        there, most = there + 1, max(most, there + 1)
        await asyncio.sleep(0.001)
        there -= 1

    clients = asyncio.run(in_tasks(7, options(concurrency=3), serve))
    assert (most, len(clients.sent_ns), clients.due_ns) == (3, 7, [])
    clients = asyncio.run(in_tasks(2, options(due_ns=(0, 20 * MS)), serve))
    assert clients.sent_ns[1] - clients.due_ns[0] >= 20 * MS


def test_the_first_failure_ends_the_others_and_the_sending():
    """And is raised as it was."""

    async def serve(place):
        if place == 0:
            raise KeyError("engine")
        await asyncio.sleep(3600)

    before = time.monotonic()
    due_ns = (0, 0, 3600 * 1000 * MS)
    with pytest.raises(KeyError, match="engine"):
        asyncio.run(in_tasks(3, options(due_ns=due_ns), serve))
    assert time.monotonic() - before < 3000
