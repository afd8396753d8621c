"""What an engine's parameters and the workload cannot be together."""

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.workload import Workload

_NOT_CONTINUOUS = {
    "batching",
    "torch_compile",
    "assistant_model",
    "prompt_lookup_num_tokens",
    "assistant_early_exit",
    "cache_implementation",
    "compile_config",
}

_DRAFTS = {"assistant_model", "prompt_lookup_num_tokens"}


def conflicts(spec: EngineSpec, workload: Workload) -> Iterator[str]:
    """A line for each parameter that this workload leaves without meaning."""
    if spec.backend == "transformers":
        yield from _batches(spec.engine.get("batching") or {}, workload)
        if (spec.engine.get("continuous_batching") or {}).get("enabled"):
            yield from _continuous(spec.engine, workload)
        for way in sorted(_DRAFTS & {*spec.engine}):
            yield from _drafts(way, spec.engine, workload)


def _batches(batching: Mapping[str, Any], workload: Workload) -> Iterator[str]:
    strategy = str(batching.get("strategy"))
    if strategy.endswith("dynamic") and workload.batch_size == 1:
        yield (
            f"transformers.batching.strategy={strategy} needs batch_size above 1: that "
            "is the most requests of a batch"
        )


def _continuous(engine: Mapping[str, Any], workload: Workload) -> Iterator[str]:
    here = "transformers.continuous_batching"
    for other in sorted(_NOT_CONTINUOUS & {*engine}):
        yield f"{here} and transformers.{other} exclude each other"
    if (workload.decoder.num_beams or 1) > 1:
        yield f"{here} has no beam search: leave out decoder.num_beams"
    if workload.forced_min_tokens not in (0, workload.output_tokens):
        yield (
            f"{here} has no least length: min_output_tokens="
            f"{workload.min_output_tokens} can be 0 or output_tokens"
        )


def _drafts(way: str, engine: Mapping[str, Any], workload: Workload) -> Iterator[str]:
    if workload.batch_size > 1:
        yield (
            f"transformers.{way} drafts for one request at a time: batch_size="
            f"{workload.batch_size} has to be 1 (requests gives their number)"
        )
    if (workload.decoder.num_beams or 1) > 1:
        yield f"transformers.{way} and decoder.num_beams exclude each other"
    if "static" in str(engine.get("cache_implementation")):
        yield f"transformers.{way} needs a cache that can shrink, not a static one"
