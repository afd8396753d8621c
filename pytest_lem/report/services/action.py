"""The custom files of github-action-benchmark: a list of values of one direction.

Its `customSmallerIsBetter` and `customBiggerIsBetter` read `name, unit, value, range,
extra` of each; of a range `± half` it takes the number.
"""

from collections.abc import Sequence
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.report.services.figures import Figure

_TOOLS = {"lower": "customSmallerIsBetter", "higher": "customBiggerIsBetter"}


def told(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """An object for each value; raises ConfigError where directions are mixed."""
    tool(figures)
    return [_entry(one) for one in figures]


def tool(figures: Sequence[Figure]) -> str:
    """What the action's `tool` must be; raises ConfigError where directions are mixed.

    A file has one direction for all that is in it.
    """
    ways = {one.metric: one.info.better for one in figures}
    for metric, way in ways.items():
        if way is None:
            raise ConfigError(f"{metric} is neither better high nor low: leave it out")
    if len({*ways.values()}) > 1:
        low, high = (
            next(metric for metric, it in ways.items() if it == way) for way in _TOOLS
        )
        raise ConfigError(
            f"{low} is better low and {high} is better high, and a file of "
            "github-action-benchmark has one direction: export them apart"
        )
    return _TOOLS[next(iter(ways.values())) or "lower"]


def _entry(one: Figure) -> dict[str, Any]:
    summary = one.summary
    entry: dict[str, Any] = {
        "name": f"{one.experiment.id} {one.name}",
        "unit": summary.unit,
        "value": summary.value,
    }
    extra = [f"cycles: {summary.n}", f"identity: {one.experiment.identity}"]
    if summary.ci_low is not None and summary.ci_high is not None:
        entry["range"] = f"± {(summary.ci_high - summary.ci_low) / 2:.6g}"
        percent = 100 * (summary.ci_level or 0)
        ends = f"{summary.ci_low:.6g} to {summary.ci_high:.6g}"
        extra.append(f"{percent:g} % interval ({summary.ci_method}): {ends}")
    if one.experiment.flags:
        extra.append(f"flags: {' '.join(one.experiment.flags)}")
    return {**entry, "extra": "\n".join(extra)}
