"""A report as the file of a service, by the service's name."""

from collections.abc import Sequence
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.records.record import Record
from pytest_lem.report.results import check_metrics
from pytest_lem.report.services import action, bencher, benchmark
from pytest_lem.report.services.figures import figures

_COSTS = ("energy_per_output_token_j", "ttft_p50_ms", "tpot_mean_ms")
_SPEED = "output_throughput_tps"
_DEFAULTS: dict[str, tuple[str, ...]] = {
    "bencher": (*_COSTS, _SPEED),
    "github-action-benchmark": _COSTS,
    "pytest-benchmark": (*_COSTS, _SPEED),
}


def exported(
    record: Record, service: str, metrics: Sequence[str], *, everything: bool
) -> tuple[Any, list[str]]:
    """The content of the file, and lines on what it is and what it is without.

    Raises ConfigError for metrics that are none, that the service has no place for,
    and where no value is left.
    """
    check_metrics(metrics)
    wanted = list(dict.fromkeys(metrics or _DEFAULTS[service]))
    found, lines = figures(record, wanted, everything=everything)
    if not found:
        raise ConfigError("; ".join(["nothing to export", *lines]))
    tree: Any
    if service == "bencher":
        tree, note = bencher.told(found), "for bencher run: --adapter json"
    elif service == "github-action-benchmark":
        tree, note = action.told(found), f"in the workflow: tool: {action.tool(found)}"
    else:
        tree = benchmark.told(record, found)
        note = "tables will say seconds; the unit is in the title of each group"
    return tree, [*lines, note]
