"""What a window's requests are worth by the limits that each of them was given."""

from collections.abc import Collection, Sequence
from typing import Any

from pytest_lem.analysis.goodput import goodput
from pytest_lem.analysis.latency import Stamps
from pytest_lem.meters.metering import Metering
from pytest_lem.spec.parameters.slo import Slo


def served(
    slo: Slo | None,
    requests: Sequence[Stamps],
    metering: Metering,
    devices: Collection[str],
) -> dict[str, Any] | None:
    """Goodput over the time from the first request sent to the last one's end.

    None where there are no limits. Where a limit needs times of tokens, and there are
    none, nothing is known and `reason` says so; it also has why there is no energy.
    """
    if slo is None:
        return None
    if not requests:
        return {"slo": slo.limits, "reason": "no_requests"}
    if slo.of_tokens and not any(one.token_ns for one in requests):
        return {"slo": slo.limits, "reason": "no_token_stamps"}
    start_s = min(one.sent_ns for one in requests) / 1e9
    end_s = max(one.ended_ns for one in requests) / 1e9
    reading = metering.energy(start_s, end_s, devices=devices)
    found = goodput(
        requests, slo.limits, duration_s=end_s - start_s, energy_j=reading.gross_j
    )
    return {"slo": slo.limits, **found, "reason": reading.reason}
