"""Whether enough cycles were run for the precision that was asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_lem.analysis.metrics import HEADLINES
from pytest_lem.analysis.stats import LEAST_LOOK, Statistics, Summary, cycles_needed
from pytest_lem.records.record import Cycle


def stopping(
    cycles: Sequence[Cycle], summary: Mapping[str, Summary], asked: Statistics
) -> dict[str, Any] | None:
    """What was asked, what is reached, and how many cycles it would take.

    By the first headline metric that there is; None where no precision was asked for.
    `cycles` are those that count. `needed_cycles` is a guess from their spread, None
    where they do not tell.
    """
    if asked.precision is None:
        return None
    name = next((one for one in HEADLINES if one in summary), None)
    one = summary[name] if name else None
    half = None
    if one is not None and one.ci_high is not None and one.mean:
        half = (one.ci_high - one.mean) / abs(one.mean)
    needed = None
    if one is not None and one.cv is not None:
        needed = cycles_needed(one.cv, asked.precision)
    return {
        "metric": name,
        "asked_pct": 100 * asked.precision,
        "reached_pct": None if half is None else 100 * half,
        "reached": _enough(one, half, asked.precision),
        "cycles": len(cycles),
        "needed_cycles": needed,
    }


def _enough(one: Summary | None, half: float | None, precision: float) -> bool:
    return (
        one is not None
        and half is not None
        and one.n >= LEAST_LOOK
        and half <= precision
    )
