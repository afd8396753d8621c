"""Measure what LLM inference costs, as pytest experiments."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_lem.errors import NullMetricError
    from pytest_lem.front.grids import lem_grid
    from pytest_lem.front.items import LemConfigWarning
    from pytest_lem.records.result import Metric, Result
    from pytest_lem.spec.workload import Workload

__version__ = "0.1.0"

__all__ = [
    "LemConfigWarning",
    "Metric",
    "NullMetricError",
    "Result",
    "Workload",
    "__version__",
    "lem_grid",
]

_HOMES = {
    "LemConfigWarning": "pytest_lem.front.items",
    "Metric": "pytest_lem.records.result",
    "NullMetricError": "pytest_lem.errors",
    "Result": "pytest_lem.records.result",
    "Workload": "pytest_lem.spec.workload",
    "lem_grid": "pytest_lem.front.grids",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: every pytest run passes here."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
