"""Requests that met what was asked of each: how many, how fast, for what energy."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import sqrt
from statistics import NormalDist
from typing import Any

from pytest_lem.analysis.latency import Stamps
from pytest_lem.analysis.metrics import ratio
from pytest_lem.analysis.stats import CI_LEVEL


def goodput(
    requests: Sequence[Stamps],
    limits: Mapping[str, float],
    *,
    duration_s: float,
    energy_j: float | None,
) -> dict[str, Any]:
    """Good requests, their rate and share with its interval, and how many a joule made.

    `limits` are in milliseconds. A request is good if it meets all of them; one that
    gave no token meets none of a token's. `energy_j` is gross, of the same seconds.
    """
    good = sum(meets(one, limits) for one in requests)
    low, high = wilson(good, len(requests)) if requests else (None, None)
    return {
        "requests": len(requests),
        "good": good,
        "goodput_rps": ratio(good, duration_s),
        "attainment": ratio(good, len(requests)),
        "attainment_low": low,
        "attainment_high": high,
        "goodput_per_joule": ratio(good, energy_j),
    }


def meets(request: Stamps, limits: Mapping[str, float]) -> bool:
    """Whether a request keeps to every limit; one of a single token has no gaps."""
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
