"""Requests that take too long: found when they are over a limit, ended, and marked."""

import asyncio
from types import SimpleNamespace

import pytest

from pytest_lem.engines import Completion, GenerateOptions
from pytest_lem.engines.clients import in_tasks
from pytest_lem.engines.contract import judged
from pytest_lem.engines.limits import Overdue, limit

MS = 1_000_000
START = 7_000_000_000_000  # a clock that does not start at zero


def options(**changes):
    return GenerateOptions(
        **{"output_tokens": 3, "min_output_tokens": 3, "stamps": True, **changes}
    )


def request(*token_ms, ended_ms):
    tokens = [START + at * MS for at in token_ms]
    return Completion(
        input_tokens=1,
        output_ids=[7] * len(tokens),
        finish_reason="length",
        sent_ns=START,
        ended_ns=START + ended_ms * MS,
        token_ns=tokens,
    )


def test_the_limit_that_comes_first_ends_a_request():
    """That of the whole from when it was sent, that of a token from the one before."""
    both = options(request_timeout_s=0.05, token_timeout_s=0.02)
    assert limit(both, START, None).at_ns == START + 50 * MS
    first = limit(both, START, START + 10 * MS)
    assert (first.at_ns, first.outcome) == (START + 30 * MS, "token_timeout")
    last = limit(both, START, START + 40 * MS)
    assert (last.at_ns, last.outcome) == (START + 50 * MS, "timeout")
    assert limit(options(), START, START) is None


def test_nobody_looks_before_a_request_can_be_over_its_limit():
    """The next look is when the first of those there is, or one sent now would be."""
    overdue = Overdue(options(request_timeout_s=0.05, token_timeout_s=0.1))
    there = [("a", START, None), ("b", START + 20 * MS, None)]
    assert overdue.found(there, START + 20 * MS) == []
    assert overdue.next_ns == START + 50 * MS
    assert overdue.found(there, START + 49 * MS) == []
    ((name, end),) = overdue.found(there, START + 50 * MS)
    assert (name, end.outcome) == ("a", "timeout")
    assert overdue.next_ns == START + 70 * MS
    unlimited = Overdue(options(stamps=False, token_timeout_s=0.1))
    assert unlimited.next_ns is None
    assert unlimited.found([("a", START, START)], 2 * START) == []


def test_a_task_over_its_limit_is_ended_and_another_one_is_sent():
    """The rest is served; nothing waits for what never ends by itself."""
    over = {place: asyncio.Event() for place in range(3)}
    flying = [SimpleNamespace(last_ns=None) for _ in over]
    ended, served = [], []

    async def serve(place):
        if place == 0:
            await over[place].wait()
        served.append(place)

    async def end(place, why):
        ended.append((place, why.outcome))
        over[place].set()

    asked = options(request_timeout_s=0.02, concurrency=1)
    clients = asyncio.run(in_tasks(3, asked, serve, flying, end))
    assert ended == [(0, "timeout")]
    assert (served, len(clients.sent_ns)) == ([0, 1, 2], 3)


@pytest.mark.parametrize(
    ("one", "outcome", "error"),
    [
        (request(10, 20, 30, ended_ms=30), "completed", None),
        (request(10, 20, 60, ended_ms=60), "timeout", "it took 0.06 s, above"),
        (request(10, 13, 39, ended_ms=39), "token_timeout", "a token took 0.026 s"),
        (request(10, 20, ended_ms=20), "early_stop", "after 2 of at least 3 tokens"),
    ],
)
def test_what_an_engine_did_not_end_is_marked_afterwards(one, outcome, error):
    """A batch that runs on, and a request that ended before its least length."""
    found = judged(one, options(request_timeout_s=0.05, token_timeout_s=0.025))
    assert found.outcome == outcome
    assert (found.error or "").count(error or "") >= 1
