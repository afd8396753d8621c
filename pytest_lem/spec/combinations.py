"""What an engine's parameters and the workload cannot be together."""

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.workload import Workload


def conflicts(spec: EngineSpec, workload: Workload) -> Iterator[str]:
    """A line for each parameter that this workload leaves without meaning."""
    if spec.backend == "transformers":
        yield from _batches(spec.engine.get("batching") or {}, workload)


def _batches(batching: Mapping[str, Any], workload: Workload) -> Iterator[str]:
    strategy = str(batching.get("strategy"))
    if strategy.endswith("dynamic") and workload.batch_size == 1:
        yield (
            f"transformers.batching.strategy={strategy} needs batch_size above 1: that "
            "is the most requests of a batch"
        )
