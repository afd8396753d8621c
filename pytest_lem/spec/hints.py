"""What a workload tells an engine's parameters, where these are not set themselves."""

from collections.abc import Mapping
from typing import Any

from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.workload import Workload

ORIGIN = "batch_size"


def hinted(spec: EngineSpec, workload: Workload, origins: dict[str, str]) -> EngineSpec:
    """The spec with what follows from the workload; `origins` gets where it is from.

    vLLM batches by itself: `batch_size` is how many requests it may run at once.
    """
    found: dict[str, Any] = {}
    if spec.backend == "vllm" and spec.engine.get("max_num_seqs") is None:
        found["max_num_seqs"] = workload.batch_size * _texts(spec.engine, workload)
    if not found:
        return spec
    origins |= {f"{spec.backend}.{key}": ORIGIN for key in found}
    return spec.model_copy(update={"engine": {**spec.engine, **found}})


def _texts(section: Mapping[str, Any], workload: Workload) -> int:
    """Texts that run at once for each request."""
    return max(section.get("n") or 1, workload.decoder.num_beams or 1)
