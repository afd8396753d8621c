"""Bencher Metric Format: several measures of a benchmark, each with its interval.

By the JSON Schema that Bencher publishes (https://bencher.dev/bmf.json); its adapter
for pytest-benchmark would take joules for nanoseconds.
"""

from collections.abc import Sequence
from typing import Any

from pytest_lem.report.services.figures import Figure


def told(figures: Sequence[Figure]) -> dict[str, Any]:
    """An object for each experiment, in it one for each metric."""
    found: dict[str, Any] = {}
    for one in figures:
        ends = {"lower_value": one.summary.ci_low, "upper_value": one.summary.ci_high}
        known = {key: end for key, end in ends.items() if end is not None}
        measures = found.setdefault(one.experiment.id, {})
        measures[one.name] = {"value": one.summary.value, **known}
    return found
