"""What requests are worth by the limits that each of them was given."""

from collections.abc import Collection, Sequence
from typing import Any

from pytest_lem.analysis.goodput import FIGURES, goodput, met, pooled
from pytest_lem.analysis.latency import Stamps
from pytest_lem.analysis.steady import steady
from pytest_lem.meters.metering import Metering
from pytest_lem.records.record import Window
from pytest_lem.spec.parameters.slo import Slo

_UNKNOWN = dict.fromkeys(FIGURES)


def served(
    slo: Slo | None,
    requests: Sequence[Stamps],
    left_out: int,
    metering: Metering,
    devices: Collection[str],
) -> dict[str, Any] | None:
    """Goodput over the time from the first request sent to the last one's end.

    Without the first `left_out`. `steady` has the same of the requests that ended in
    the steady part of the window, which all requests tell. None where there are no
    limits; `reason` says why something is not known, of requests or of energy.
    """
    if slo is None:
        return None
    counted = requests[left_out:]
    reason = _untold(slo, counted)
    if reason is not None:
        apart = {**_UNKNOWN, "reason": reason}
        return {"slo": slo.limits, **apart, "steady": apart}
    start_s = min(one.sent_ns for one in counted) / 1e9
    end_s = max(one.ended_ns for one in counted) / 1e9

    def judged(some: Sequence[Stamps], start_s: float, end_s: float) -> dict[str, Any]:
        reading = metering.energy(start_s, end_s, devices=devices)
        one = met(
            some, slo.limits, duration_s=end_s - start_s, energy_j=reading.gross_j
        )
        return {**goodput([one]), "reason": reading.reason}

    part = steady(requests)
    if part["duration_s"] is None:
        within = {**_UNKNOWN, "reason": part["nulls"]["duration_s"]}
    else:
        first_s, last_s = part["start_s"], part["start_s"] + part["duration_s"]
        ended = [one for one in counted if first_s < one.ended_ns / 1e9 <= last_s]
        within = judged(ended, first_s, last_s)
    return {"slo": slo.limits, **judged(counted, start_s, end_s), "steady": within}


def _untold(slo: Slo, requests: Sequence[Stamps]) -> str | None:
    if not requests:
        return "no_requests"
    timed = any(one.token_ns for one in requests)
    return "no_token_stamps" if slo.of_tokens and not timed else None


def cycle_goodput(windows: Sequence[Window]) -> dict[str, Any] | None:
    """Goodput over the windows whose latency counts; None where nothing has limits.

    Those are latency windows, or the energy windows where there is none of them.
    """
    timed = [w for w in windows if w.kind == "latency"]
    found = [w.goodput for w in timed or windows if w.goodput is not None]
    if not found:
        return None
    within = pooled([one["steady"] for one in found])
    return {"slo": found[0]["slo"], **pooled(found), "steady": within}
