"""Requests that are sent one by one: when they were due, and what became of it."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from pytest_lem.analysis.arrivals import gaps, keeping_up
from pytest_lem.analysis.latency import distribution
from pytest_lem.analysis.metrics import ratio
from pytest_lem.analysis.split import covered_ns
from pytest_lem.analysis.steady import steady
from pytest_lem.engines import Completion, GenerateOptions, Generation
from pytest_lem.errors import GenerationError
from pytest_lem.measure.failing import stamps_of
from pytest_lem.spec.parameters.arrivals import Arrivals
from pytest_lem.spec.workload import Workload
from pytest_lem.workload.arrivals import rates_rps, schedule

_OF_SCHEDULES = (
    "offered_rps",
    "saturated",
    "queue_lag_ms",
    "gaps",
    "ttft_sched_ms",
    "e2e_sched_ms",
)


def due_ns(workload: Workload, requests: int) -> list[int]:
    """When each request of a window is due; empty where all are sent at once."""
    if workload.arrivals is None:
        return []
    return schedule(workload.arrivals, requests, seed=workload.seed)


def check_sent(generation: Generation, options: GenerateOptions) -> None:
    """The engine kept to what was asked: no request too soon, none left out.

    None before it was due, and none while as many as `concurrency` were in flight.
    """
    asked_ns, most = options.due_ns, options.concurrency
    if len(generation.due_ns) != len(asked_ns):
        raise GenerationError(
            f"{len(asked_ns)} requests had times, and the engine told those of "
            f"{len(generation.due_ns)}"
        )
    rows = zip(generation.due_ns, generation.completions, strict=True)
    for place, (due, one) in enumerate(rows if asked_ns else ()):
        if one.sent_ns < due:
            raise GenerationError(f"request {place} was sent before it was due")
    there = _most_in_flight(generation.completions)
    if most is not None and there > most:
        raise GenerationError(f"{there} requests were in flight, not {most} at once")


def arrived(
    law: Arrivals | None,
    generation: Generation,
    left_out: int,
    concurrency: int | None = None,
) -> dict[str, Any] | None:
    """What the record has of how requests were sent; None where all were at once.

    Rates and gaps are of all requests, what is achieved and latency from due times of
    those that completed, latency without the first `left_out`. `busy_share` is the part
    of the window in which there was a request, `in_flight` how many there were on its
    mean. What means nothing in an open or a closed loop is None, and `nulls` says so.
    """
    if law is None and concurrency is None:
        return None
    done = generation.completions
    sent = [one.sent_ns for one in done]
    ended = [one.ended_ns for one in done if one.outcome == "completed"]
    spans = [(one.sent_ns, one.ended_ns) for one in done]
    spent_s = sum(end - start for start, end in spans) / 1e9
    busy_s = covered_ns(spans) / 1e9
    at_once = generation.native.get("at_once")
    return {
        "mode": law.mode if law else "closed",
        "concurrency": concurrency,
        "at_once": at_once,
        **keeping_up(generation.due_ns, sent, ended),
        "busy_share": ratio(busy_s, generation.duration_s),
        "in_flight": ratio(spent_s, generation.duration_s),
        "steady": steady([stamps_of(one) for one in done]),
        **_as_due(law, generation, left_out),
        "nulls": {
            **dict.fromkeys(_OF_SCHEDULES if law is None else (), "closed_loop"),
            **({} if law is None else {"concurrency": "open_loop"}),
            **({"at_once": "not_reported_by_engine"} if at_once is None else {}),
        },
    }


def _as_due(
    law: Arrivals | None, generation: Generation, left_out: int
) -> dict[str, Any]:
    """Gaps beside those asked for, and latency from due times, if there were any."""
    if law is None:
        return dict.fromkeys(("gaps", "ttft_sched_ms", "e2e_sched_ms"))
    done, due = generation.completions, generation.due_ns
    rows = list(zip(due, done, strict=True))[left_out:]
    counted = [(at, one) for at, one in rows if one.outcome == "completed"]
    sent = [one.sent_ns for one in done]
    return {
        "gaps": gaps(sent, rates_rps(law, len(done)), law.shape),
        "ttft_sched_ms": distribution(
            [(one.token_ns[0] - at) / 1e6 for at, one in counted if one.token_ns]
        ),
        "e2e_sched_ms": distribution(
            [(one.ended_ns - at) / 1e6 for at, one in counted]
        ),
    }


def _most_in_flight(done: Sequence[Completion]) -> int:
    """Requests sent and not yet ended; one may be sent as another ends."""
    changes = [(one.sent_ns, 1) for one in done]
    changes += [(one.ended_ns, -1) for one in done]
    return max(accumulate(step for _, step in sorted(changes)), default=0)
