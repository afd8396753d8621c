"""Metrics as costs, for tools that only know that more is worse, and only seconds."""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.errors import ConfigError
from pytest_lem.report.services.figures import prefixed


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Values of a metric of which more is worse, one for each cycle."""

    name: str
    unit: str
    samples: tuple[float, ...]


def cost(metric: str, samples: Sequence[float], guess: str | None = None) -> Cost:
    """The values, or of what is better high their inverse; times in seconds.

    Raises ConfigError for a metric that has no such values, and for an inverse of zero.
    """
    info = METRICS[metric]
    name, unit, values = metric, info.unit, tuple(samples)
    if info.better is None:
        raise ConfigError(f"{metric} is neither better high nor low: it is no cost")
    if info.better == "higher":
        over, _, under = unit.partition("/")
        if not under or "(" in under:
            raise ConfigError(f"{metric} [{unit}] is better high, and has no cost")
        if 0 in values:
            raise ConfigError(f"{metric} is 0 in a cycle, and has no cost")
        name, unit = f"1/{metric}", f"{under}/{over}"
        values = tuple(1 / value for value in values)
    if unit == "ms":
        name, unit = f"{name.removesuffix('_ms')}_s", "s"
        values = tuple(value / 1000 for value in values)
    return Cost(name=prefixed(name, guess), unit=unit, samples=values)
