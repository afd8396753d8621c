"""What an engine's parameters and the workload cannot be together."""

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_lem.spec import tensorrt_combinations
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

# What was not tried on a model that is cut into shards.
_NOT_SHARDED = {
    "torch_compile",
    "continuous_batching",
    "quantization_config",
    "assistant_model",
    "prompt_lookup_num_tokens",
    "assistant_early_exit",
}

_DRAFTS = {"assistant_model", "prompt_lookup_num_tokens", "assistant_early_exit"}
_OF_LORA = (
    "max_loras",
    "max_lora_rank",
    "max_cpu_loras",
    "fully_sharded_loras",
    "lora_dtype",
    "lora_target_modules",
    "specialize_active_lora",
)
_NOT_OF_BEAMS = (
    "n",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "prompt_logprobs",
    "logit_bias",
    "structured_outputs",
    "stop",
    "stop_token_ids",
    "speculative_config",
    "request_priorities",
)
_OF_BEAMS = ("early_stopping", "length_penalty")
_OF_SAMPLING = ("typical_p", "epsilon_cutoff", "eta_cutoff", "top_h")
_OF_ENDS = ("eos_token_id", "stop_strings", "max_time")


def conflicts(spec: EngineSpec, workload: Workload) -> Iterator[str]:
    """A line for each parameter that this workload leaves without meaning."""
    if workload.streaming:
        yield from untimed(spec, workload, "streaming")
    yield from _untold(spec, workload)
    yield from _unsent(spec, workload)
    yield from _of_one_length(spec, workload)
    if spec.backend == "transformers":
        if spec.engine.get("merge_adapter") is not None and spec.adapter is None:
            yield "transformers.merge_adapter needs adapter"
        yield from _shards(spec)
        yield from _batches(spec.engine.get("batching") or {}, workload)
        yield from _decoding(spec.engine, workload)
        if (spec.engine.get("continuous_batching") or {}).get("enabled"):
            yield from _continuous(spec.engine, workload)
        for way in sorted(_DRAFTS & {*spec.engine}):
            yield from _drafts(way, spec.engine, workload)
    if spec.backend == "tensorrt":
        yield from tensorrt_combinations.conflicts(spec, workload)
    if spec.backend == "vllm":
        yield from _vllm_adapters(spec)
        yield from _vllm_several(spec)
        yield from _vllm_requests(spec.engine, workload)
        if (workload.decoder.num_beams or 1) > 1:
            yield from _vllm_beams(spec.engine, workload)
        elif spec.engine.get("beam_length_penalty") is not None:
            yield "vllm.beam_length_penalty needs decoder.num_beams above 1"


def _untold(spec: EngineSpec, workload: Workload) -> Iterator[str]:
    if workload.least_hit_rate is not None and spec.backend == "transformers":
        yield "least_hit_rate: transformers does not tell what its cache had"


def _of_one_length(spec: EngineSpec, workload: Workload) -> Iterator[str]:
    """A beam search goes on for all of its requests, until the longest is done."""
    if workload.output_lengths is None or spec.backend not in ("transformers", "vllm"):
        return
    if (workload.decoder.num_beams or 1) > 1:
        yield (
            "output_lengths and decoder.num_beams exclude each other: a beam search of "
            f"{spec.backend} has one length for all"
        )


def _unsent(spec: EngineSpec, workload: Workload) -> Iterator[str]:
    """A line for what leaves no request to be sent by itself."""
    asked = "arrivals" if workload.concurrency is None else "concurrency"
    if workload.arrivals is None and workload.concurrency is None:
        return
    if (workload.decoder.num_beams or 1) > 1:
        yield f"{asked} and decoder.num_beams exclude each other: beams go together"
    if spec.backend == "vllm" and (spec.engine.get("n") or 1) > 1:
        yield f"{asked} and vllm.n above 1 exclude each other"
    if spec.backend == "transformers":
        yield from _one_by_one(spec.engine, asked)


def untimed(spec: EngineSpec, workload: Workload, asked: str) -> Iterator[str]:
    """A line for each parameter that leaves tokens without the times that are asked."""
    if (workload.decoder.num_beams or 1) > 1:
        yield (
            f"decoder.num_beams={workload.decoder.num_beams} needs {asked} off: there "
            "are no tokens until it ends"
        )
    if spec.backend == "tensorrt":
        yield from tensorrt_combinations.untimed(spec.engine, asked)
    texts = {"transformers": "num_return_sequences", "vllm": "n"}.get(spec.backend)
    if texts and (spec.engine.get(texts) or 1) > 1:
        yield f"{spec.backend}.{texts} needs {asked} off: a step has a token of each"
    kind = spec.engine.get("output_kind")
    if spec.backend == "vllm" and kind in ("CUMULATIVE", "FINAL_ONLY"):
        yield f"vllm.output_kind={kind} needs {asked} off: tokens are timed by DELTA"


def _vllm_several(spec: EngineSpec) -> Iterator[str]:
    """What several adapters cannot be beside."""
    if spec.engine.get("adapters") is None:
        return
    if spec.adapter is not None:
        yield "vllm.adapters and adapter exclude each other"
    if spec.engine.get("enable_lora") is False:
        yield "vllm.enable_lora=False and vllm.adapters exclude each other"


def _shards(spec: EngineSpec) -> Iterator[str]:
    size = (spec.engine.get("distributed_config") or {}).get("tp_size") or 1
    if size == 1:
        return
    here = "transformers.distributed_config.tp_size"
    for other in sorted(one for one in _NOT_SHARDED if spec.engine.get(one)):
        yield f"{here} above 1 and transformers.{other} exclude each other"
    if spec.adapter is not None:
        yield f"{here} above 1 and adapter exclude each other"


def _batches(batching: Mapping[str, Any], workload: Workload) -> Iterator[str]:
    strategy = str(batching.get("strategy"))
    if strategy.endswith("dynamic") and workload.batch_size == 1:
        yield (
            f"transformers.batching.strategy={strategy} needs batch_size above 1: that "
            "is the most requests of a batch"
        )


def _one_by_one(engine: Mapping[str, Any], asked: str) -> Iterator[str]:
    """What cannot be where batches are formed of the requests that wait."""
    strategy = (engine.get("batching") or {}).get("strategy") or "static"
    if strategy != "static":
        yield (
            f"{asked} and transformers.batching.strategy={strategy} exclude each "
            "other: a batch is of what waits, first come, first served"
        )
    shards = (engine.get("distributed_config") or {}).get("tp_size")
    for name, count in (
        ("num_processes", engine.get("num_processes")),
        ("distributed_config.tp_size", shards),
    ):
        if (count or 1) > 1:
            yield (
                f"{asked} and transformers.{name} above 1 exclude each other: one "
                "process forms the batches"
            )


def _continuous(engine: Mapping[str, Any], workload: Workload) -> Iterator[str]:
    here = "transformers.continuous_batching"
    for other in sorted(_NOT_CONTINUOUS & {*engine}):
        yield f"{here} and transformers.{other} exclude each other"
    if (workload.decoder.num_beams or 1) > 1:
        yield f"{here} has no beam search: leave out decoder.num_beams"
    if _between(workload):
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
        *((name, "min_output_tokens=0", not workload.forced) for name in _OF_ENDS),
    ):
        if section.get(name) is not None and not there:
            yield f"transformers.{name} means nothing without {needed}"
    texts = section.get("num_return_sequences") or 1
    if texts > beams and (beams > 1 or not decoder.draws):
        yield (
            f"transformers.num_return_sequences={texts} needs decoder.do_sample=True "
            "or as many decoder.num_beams"
        )


def _vllm_adapters(spec: EngineSpec) -> Iterator[str]:
    room = spec.engine.get("enable_lora")
    if room is False and spec.adapter is not None:
        yield "vllm.enable_lora=False and adapter exclude each other"
    if not room and spec.adapter is None and spec.engine.get("adapters") is None:
        for name in (one for one in _OF_LORA if spec.engine.get(one) is not None):
            yield f"vllm.{name} needs vllm.enable_lora=True, adapter or adapters"


def _vllm_requests(section: Mapping[str, Any], workload: Workload) -> Iterator[str]:
    """What vLLM refuses only in the middle of a run, or ignores."""
    if workload.decoder.no_repeat_ngram_size:
        yield (
            "decoder.no_repeat_ngram_size: vLLM has none; set "
            "decoder.repetition_penalty"
        )
    if (section.get("n") or 1) > 1 and not workload.decoder.draws:
        yield "vllm.n above 1 needs decoder.do_sample=True: else all texts are alike"
    for name in ("stop", "stop_token_ids"):
        if section.get(name) is not None and workload.forced:
            yield f"vllm.{name} means nothing without min_output_tokens=0"
    if section.get("stop") is not None and section.get("detokenize") is False:
        yield "vllm.stop needs vllm.detokenize: it is looked for in the text"
    if (
        section.get("output_kind") not in (None, "FINAL_ONLY")
        and not workload.streaming
    ):
        yield (
            f"vllm.output_kind={section['output_kind']} means something to streaming "
            "alone: a batch gets FINAL_ONLY"
        )


def _vllm_beams(section: Mapping[str, Any], workload: Workload) -> Iterator[str]:
    """A beam search of vLLM's takes a width, a length and a penalty, and no more."""
    beams = f"decoder.num_beams={workload.decoder.num_beams}"
    if _between(workload):
        yield (
            f"{beams} has no least length in vLLM: min_output_tokens="
            f"{workload.min_output_tokens} can be 0 or output_tokens"
        )
    if workload.decoder.draws:
        yield f"{beams} and decoder.do_sample exclude each other in vLLM"
    if workload.decoder.repetition_penalty is not None:
        yield f"{beams} and decoder.repetition_penalty exclude each other in vLLM"
    for name in (one for one in _NOT_OF_BEAMS if section.get(one) is not None):
        yield f"{beams} and vllm.{name} exclude each other"


def _between(workload: Workload) -> bool:
    """Whether there is a least length which is not the limit."""
    return not workload.forced and workload.min_output_tokens != 0
