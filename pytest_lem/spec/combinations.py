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
    "use_cache",
    "prefill_chunk_size",
    "stop_strings",
    "max_time",
    "num_return_sequences",
    "return_dict_in_generate",
    "sdpa_kernel",
    "autocast_enabled",
}

_DRAFTS = {"assistant_model", "prompt_lookup_num_tokens", "assistant_early_exit"}
_OF_BEAMS = ("early_stopping", "length_penalty")
_OF_SAMPLING = ("typical_p", "epsilon_cutoff", "eta_cutoff", "top_h")
_OF_ENDS = ("eos_token_id", "stop_strings", "max_time")


def conflicts(spec: EngineSpec, workload: Workload) -> Iterator[str]:
    """A line for each parameter that this workload leaves without meaning."""
    if spec.backend == "transformers":
        if spec.engine.get("merge_adapter") is not None and spec.adapter is None:
            yield "transformers.merge_adapter needs adapter"
        yield from _batches(spec.engine.get("batching") or {}, workload)
        yield from _decoding(spec.engine, workload)
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


def _decoding(section: Mapping[str, Any], workload: Workload) -> Iterator[str]:
    """What the library ignores, or refuses only after the load."""
    decoder = workload.decoder
    beams = decoder.num_beams or 1
    for name, needed, there in (
        *((name, "decoder.num_beams above 1", beams > 1) for name in _OF_BEAMS),
        *((name, "decoder.do_sample=True", decoder.draws) for name in _OF_SAMPLING),
        *((name, "min_output_tokens=0", not _forced(workload)) for name in _OF_ENDS),
    ):
        if section.get(name) is not None and not there:
            yield f"transformers.{name} means nothing without {needed}"
    texts = section.get("num_return_sequences") or 1
    if texts > beams and (beams > 1 or not decoder.draws):
        yield (
            f"transformers.num_return_sequences={texts} needs decoder.do_sample=True "
            "or as many decoder.num_beams"
        )
    if texts > 1 and workload.streaming:
        yield "transformers.num_return_sequences needs streaming off: a step has many"


def _forced(workload: Workload) -> bool:
    return workload.forced_min_tokens == workload.output_tokens
