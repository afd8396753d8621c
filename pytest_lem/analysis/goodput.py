"""Requests that met what was asked of each: how many, how fast, for what energy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from statistics import NormalDist
from typing import Any

from pytest_lem.analysis.latency import Stamps
from pytest_lem.analysis.metrics import ratio, total
from pytest_lem.analysis.stats import CI_LEVEL

FIGURES = (
    "requests",
    "good",
    "duration_s",
    "energy_j",
    "goodput_rps",
    "attainment",
    "attainment_low",
    "attainment_high",
    "goodput_per_joule",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """Requests of so many seconds and joules, and how many of them were good.

    `energy_j` is gross, None where it is not known.
    """

    requests: int
    good: int
    duration_s: float
    energy_j: float | None


def met(
    requests: Sequence[Stamps],
    limits: Mapping[str, float],
    *,
    duration_s: float,
    energy_j: float | None,
) -> Met:
    """How many of the requests are good: those that keep to all limits, in ms.

    One that failed meets none, and one that gave no token none of a token's.
    """
    return Met(
        requests=len(requests),
        good=sum(meets(one, limits) for one in requests),
        duration_s=duration_s,
        energy_j=energy_j,
    )


def goodput(parts: Sequence[Met]) -> dict[str, Any]:
    """Good requests, their rate and share with its interval, and how many a joule made.

    Over all parts together: ratios of sums, and no energy where one has none.
    """
    requests, good = sum(one.requests for one in parts), sum(one.good for one in parts)
    duration_s = sum(one.duration_s for one in parts)
    energy_j = total(one.energy_j for one in parts)
    low, high = wilson(good, requests) if requests else (None, None)
    return {
        "requests": requests,
        "good": good,
        "duration_s": duration_s,
        "energy_j": energy_j,
        "goodput_rps": ratio(good, duration_s),
        "attainment": ratio(good, requests),
        "attainment_low": low,
        "attainment_high": high,
        "goodput_per_joule": ratio(good, energy_j),
    }


def pooled(blocks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Goodput over blocks that have `FIGURES` and a `reason`; null if one has none."""
    reason = next((one["reason"] for one in blocks if one["reason"]), None)
    if not blocks or any(one["requests"] is None for one in blocks):
        return {**dict.fromkeys(FIGURES), "reason": reason}
    parts = [Met(**{name: one[name] for name in Met.__slots__}) for one in blocks]
    return {**goodput(parts), "reason": reason}


def meets(request: Stamps, limits: Mapping[str, float]) -> bool:
    """Whether a request keeps to every limit; one of a single token has no gaps."""
    if request.failed:
        return False
    if not request.token_ns and limits.keys() - {"e2e_ms"}:
        return False
    return all(_value_ms(request, name) <= limit for name, limit in limits.items())


def wilson(good: int, sent: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson (1927); `sent` is above 0."""
    z = NormalDist().inv_cdf((1 + CI_LEVEL) / 2)
    share, narrowing = good / sent, 1 + z * z / sent
    middle = (share + z * z / (2 * sent)) / narrowing
    half = z * sqrt(share * (1 - share) / sent + z * z / (4 * sent * sent)) / narrowing
    return max(0.0, middle - half), min(1.0, middle + half)


def _value_ms(request: Stamps, name: str) -> float:
    token_ns = request.token_ns
    if name == "e2e_ms":
        return (request.ended_ns - request.sent_ns) / 1e6
    if name == "ttft_ms":
        return (token_ns[0] - request.sent_ns) / 1e6
    if len(token_ns) < 2:
        return 0.0
    if name == "tpot_ms":
        return (request.ended_ns - token_ns[0]) / 1e6 / (len(token_ns) - 1)
    import numpy as np

    gaps_ms = [(later - one) / 1e6 for one, later in pairwise(token_ns)]
    return float(np.percentile(gaps_ms, 95))
