"""Whether requests were sent as they were due, and whether the engine kept up.

Times are nanoseconds of one monotonic clock, in the order of the requests.
"""

from collections.abc import Sequence
from typing import Any

from pytest_lem.analysis.latency import distribution

FEW_GAPS = 30
CHECKS = ("cv", "ks", "dispersion", "lag1")
SATURATED = 0.95
LATE_MS = 1.0


def gaps(
    sent_ns: Sequence[int], rates_rps: Sequence[float], shape: float | None
) -> dict[str, Any]:
    """How the gaps between requests look, beside the law that they were to follow.

    Gaps are multiplied by their `rates_rps`, which takes a ramp out of them, or by the
    mean rate where that is empty. `shape` is that of their gamma law, None where they
    were not drawn. `ks` tests them against it (Kolmogorov and Smirnov); `dispersion` is
    the variance over the mean of the requests in bins of one mean gap, 1 for poisson
    gaps; `lag1` is the correlation of a gap with the next one. `nulls` has why one of
    them does not exist.
    """
    import numpy as np

    gaps_s = np.diff(np.asarray(sent_ns, dtype=np.int64)) / 1e9
    mean_s = float(gaps_s.mean()) if len(gaps_s) else 0.0
    found: dict[str, Any] = {
        "n": len(gaps_s),
        "mean_s": mean_s,
        **dict.fromkeys(CHECKS),
    }
    if len(gaps_s) < FEW_GAPS or not mean_s:
        why = "few_gaps" if mean_s else "all_at_once"
        return {**found, "nulls": dict.fromkeys(CHECKS, why)}
    units = gaps_s * (np.asarray(rates_rps) if rates_rps else 1 / mean_s)
    counts = np.bincount(np.cumsum(units).astype(int))[:-1]
    found["cv"] = float(units.std(ddof=1) / units.mean())
    found["dispersion"] = float(counts.var(ddof=1) / counts.mean())
    if shape is None:
        return {**found, "nulls": dict.fromkeys(("ks", "lag1"), "not_drawn")}
    found["ks"] = _ks(units.tolist(), shape)
    found["lag1"] = _correlation(units.tolist())
    return {**found, "nulls": {}}


def keeping_up(
    due_ns: Sequence[int], sent_ns: Sequence[int], ended_ns: Sequence[int]
) -> dict[str, Any]:
    """The rates of requests asked for, sent and done, and whether the last is less.

    `offered_rps` are requests due over the time in which they are, `sent_rps` and
    `achieved_rps` the same of those sent and done; None where that time is none. Below
    `SATURATED` of what is offered requests wait longer and longer; of fewer than
    `FEW_GAPS` requests nobody can tell. `queue_lag_ms` is from due to sent. Where none
    was due, in a closed loop, nothing is offered and the engine cannot fall behind.
    """
    offered, achieved = _rate_rps(due_ns), _rate_rps(ended_ns)
    saturated = None
    if offered is not None and achieved is not None and len(due_ns) > FEW_GAPS:
        saturated = achieved < SATURATED * offered
    pairs = zip(due_ns, sent_ns, strict=bool(due_ns))
    lag_ms = [(sent - due) / 1e6 for due, sent in pairs]
    return {
        "offered_rps": offered,
        "sent_rps": _rate_rps(sent_ns),
        "achieved_rps": achieved,
        "saturated": saturated,
        "queue_lag_ms": distribution(lag_ms),
    }


def doubts(checked: dict[str, Any]) -> list[str]:
    """The flags of what `keeping_up` has found, and of requests that have to wait.

    They do where more are in flight (`concurrency`) than the engine runs (`at_once`);
    and of a schedule where that is one, as it is unless somebody says more.
    """
    late = (checked["queue_lag_ms"] or {"p99": 0.0})["p99"] > LATE_MS
    room = checked.get("at_once")
    due = checked["offered_rps"] is not None
    waiting = room is not None and (checked.get("concurrency") or 0) > room
    return [
        *(["saturated"] if checked["saturated"] else []),
        *(["sent_late"] if late else []),
        *(["requests_queued"] if waiting else []),
        *(["served_singly"] if room == 1 and due else []),
    ]


def _ks(units: Sequence[float], shape: float) -> dict[str, float]:
    """Distance from a gamma law of mean 1, and how probable so much is under it.

    Probable by Kolmogorov's limit, with Stephens' correction (1970) for finite samples.
    """
    import numpy as np
    from scipy.special import gammainc, kolmogorov

    n = len(units)
    law = gammainc(shape, shape * np.sort(units))
    above = np.arange(1, n + 1) / n - law
    below = law - np.arange(n) / n
    statistic = float(max(above.max(), below.max()))
    corrected = statistic * (n**0.5 + 0.12 + 0.11 / n**0.5)
    return {"statistic": statistic, "p": float(kolmogorov(corrected))}


def _correlation(units: Sequence[float]) -> float:
    """Of each gap with the next one."""
    import numpy as np

    parts = np.asarray(units, dtype=float) - np.mean(units)
    return float((parts[:-1] * parts[1:]).sum() / (parts**2).sum())


def _rate_rps(at_ns: Sequence[int]) -> float | None:
    span_ns = max(at_ns) - min(at_ns) if at_ns else 0
    return (len(at_ns) - 1) / (span_ns / 1e9) if span_ns else None
