"""What a workload tells an engine's parameters, where these are not set themselves."""

from collections.abc import Mapping
from typing import Any

from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.workload import Workload

ORIGIN = "batch_size"


def hinted(spec: EngineSpec, workload: Workload, origins: dict[str, str]) -> EngineSpec:
    """The spec with what follows from the workload; `origins` gets where it is from.

    vLLM and TensorRT-LLM batch by themselves: `batch_size` is how many requests they
    may run at once.
    """
    found: dict[str, Any] = {}
    if workload.concurrency is not None:
        origins.setdefault("batch_size", "concurrency")
    if spec.backend == "tensorrt":
        found = _tensorrt(spec.engine, workload)
    if spec.backend == "vllm" and spec.engine.get("max_num_seqs") is None:
        found["max_num_seqs"] = workload.batch_size * _texts(spec.engine, workload)
    if not found:
        return spec
    origins |= {f"{spec.backend}.{key}": ORIGIN for key in found}
    return spec.model_copy(update={"engine": {**spec.engine, **found}})


def _tensorrt(section: Mapping[str, Any], workload: Workload) -> dict[str, Any]:
    """How many texts at once, how wide a beam search; a given engine has its own."""
    if section.get("engine_path") is not None:
        return {}
    texts = max(section.get("best_of") or 1, _texts(section, workload))
    wanted = {"max_batch_size": workload.batch_size * texts}
    if (beams := workload.decoder.num_beams or 1) > 1:
        wanted |= {"max_beam_width": beams}
    return {key: one for key, one in wanted.items() if section.get(key) is None}


def _texts(section: Mapping[str, Any], workload: Workload) -> int:
    """Texts that run at once for each request."""
    return max(section.get("n") or 1, workload.decoder.num_beams or 1)
