"""Warm-up: run until the times of the last iterations agree."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_lem.spec.effort import Warmup


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupOutcome:
    """`converged` is None where nothing was to converge; `cv` is the last one seen."""

    converged: bool | None
    cv: float | None
    durations_s: Sequence[float]

    @property
    def iterations(self) -> int:
        """How many there were."""
        return len(self.durations_s)


def warm_up(policy: Warmup, iterate: Callable[[int], float]) -> WarmupOutcome:
    """Call `iterate(k)`, which returns seconds, as often as the policy asks."""
    times: list[float] = []
    cv = None
    while len(times) < policy.most:
        times.append(iterate(len(times)))
        cv = variation(times[-policy.window :]) if policy.kind == "cv" else None
        if len(times) >= max(policy.least, policy.window) and settled(cv, policy.cv):
            return WarmupOutcome(converged=True, cv=cv, durations_s=times)
    converged = False if policy.kind == "cv" else None
    return WarmupOutcome(converged=converged, cv=cv, durations_s=times)


def settled(cv: float | None, threshold: float) -> bool:
    """Whether a coefficient of variation exists and is at or under the threshold."""
    return cv is not None and cv <= threshold


def variation(times: Sequence[float]) -> float | None:
    """Population standard deviation over mean.

    None for a single value, a mean of zero, or anything that is not finite.
    """
    if len(times) < 2 or not all(map(math.isfinite, times)):
        return None
    mean = math.fsum(times) / len(times)
    if mean == 0:
        return None
    return math.sqrt(math.fsum((t - mean) ** 2 for t in times) / len(times)) / mean
