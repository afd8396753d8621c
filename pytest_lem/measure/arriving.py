"""Requests that are sent when they are due: their schedule, and what became of it."""

from collections.abc import Sequence
from typing import Any

from pytest_lem.analysis.arrivals import gaps, keeping_up
from pytest_lem.analysis.latency import Stamps, distribution
from pytest_lem.analysis.metrics import ratio
from pytest_lem.analysis.split import covered_ns
from pytest_lem.analysis.steady import steady
from pytest_lem.engines import Generation
from pytest_lem.errors import GenerationError
from pytest_lem.spec.parameters.arrivals import Arrivals
from pytest_lem.spec.workload import Workload
from pytest_lem.workload.arrivals import rates_rps, schedule


def due_ns(workload: Workload, requests: int) -> list[int]:
    """When each request of a window is due; empty where all are sent at once."""
    if workload.arrivals is None:
        return []
    return schedule(workload.arrivals, requests, seed=workload.seed)


def check_sent(generation: Generation, asked_ns: Sequence[int]) -> None:
    """The engine kept to the schedule: no request before its time, none left out."""
    if len(generation.due_ns) != len(asked_ns):
        raise GenerationError(
            f"{len(asked_ns)} requests had times, and the engine told those of "
            f"{len(generation.due_ns)}"
        )
    rows = zip(generation.due_ns, generation.completions, strict=True)
    for place, (due, one) in enumerate(rows if asked_ns else ()):
        if one.sent_ns < due:
            raise GenerationError(f"request {place} was sent before it was due")


def arrived(
    law: Arrivals | None, generation: Generation, left_out: int
) -> dict[str, Any] | None:
    """What the record has of a window's arrivals; None where there was no schedule.

    Rates and gaps are of all requests, latency from due times without the first
    `left_out`. `busy_share` is the part of the window in which there was a request.
    """
    if law is None:
        return None
    done, due = generation.completions, generation.due_ns
    sent, ended = [one.sent_ns for one in done], [one.ended_ns for one in done]
    busy_s = covered_ns(zip(sent, ended, strict=True)) / 1e9
    counted = list(zip(due, done, strict=True))[left_out:]
    return {
        "mode": law.mode,
        **keeping_up(due, sent, ended),
        "busy_share": ratio(busy_s, generation.duration_s),
        "steady": steady(
            [Stamps(one.sent_ns, one.ended_ns, one.token_ns) for one in done]
        ),
        "gaps": gaps(sent, rates_rps(law, len(done)), law.shape),
        "ttft_sched_ms": distribution(
            [(one.token_ns[0] - at) / 1e6 for at, one in counted if one.token_ns]
        ),
        "e2e_sched_ms": distribution(
            [(one.ended_ns - at) / 1e6 for at, one in counted]
        ),
    }
