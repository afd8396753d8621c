"""By how much a metric may become worse, and in what sides may differ all the same."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from pytest_lem.analysis.gating import Direction
from pytest_lem.analysis.metrics import METRICS
from pytest_lem.errors import ConfigError
from pytest_lem.gate.side import WEIGHTS
from pytest_lem.records.assemble import SEVERAL_PLACES
from pytest_lem.spec.nearest import unknown

REFERENCE = "reference"
"""Allowed to be missing."""

_WITHIN = ("model.", "workload.")
_KEYS = (
    *("backend", "engine", "resolved_revision", "weights", "precision", "entry_point"),
    *("recipe_sha256", "work", "gpu", "driver", "power_limit_w", "cpu", "cold_start"),
    *("energy", "latency", "text", REFERENCE, SEVERAL_PLACES, *WEIGHTS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """By how much a metric may become worse, as a share of its reference."""

    metric: str
    share: float
    better: Direction

    @classmethod
    def parse(cls, text: str) -> Self:
        """`METRIC:5%`; raises ConfigError with what is valid."""
        name, _, limit = text.partition(":")
        judged = [key for key, info in METRICS.items() if info.better]
        if "normalised" in name:
            raise ConfigError(
                f"{name} is normalised, by a convention: no limit is on what was not "
                "measured"
            )
        if name not in METRICS:
            raise ConfigError(unknown("metric", name, judged))
        better = METRICS[name].better
        if better is None:
            raise ConfigError(f"{name} is neither better high nor low: no limit is")
        try:
            percent = float(limit.strip().removesuffix("%"))
        except ValueError:
            percent = -1.0
        if not (limit.strip().endswith("%") and 0 <= percent < 100):
            raise ConfigError(f"{text!r} is not METRIC:N%, as {name}:5%")
        return cls(metric=name, share=percent / 100, better=better)


def check_allowed(keys: Collection[str]) -> None:
    """Raise ConfigError for a key by which sides are never told apart.

    Those of an engine's section are known to the engine alone.
    """
    for key in keys:
        section, dot, name = key.partition(".")
        if key not in _KEYS and not (section and dot and name):
            raise ConfigError(
                unknown("key", key, [*_KEYS, *(f"{w}KEY" for w in _WITHIN)])
            )
