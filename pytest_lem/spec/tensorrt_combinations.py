"""What parameters of TensorRT-LLM and the workload cannot be together."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.parameters.tensorrt import TensorrtParameters
from pytest_lem.spec.workload import Workload

_SHARED_BY = (
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "context_parallel_size",
)
_OF_LORA = ("max_lora_rank", "max_loras", "max_cpu_loras", "peft_cache_config")
_OF_BEAMS = ("length_penalty", "early_stopping", "beam_search_diversity_rate")


def conflicts(spec: EngineSpec, workload: Workload) -> Iterator[str]:
    """A line for each parameter that this workload, or another one, rules out."""
    section = spec.engine
    yield from _sizes(section, workload)
    yield from _texts(section, workload)
    yield from _adapters(spec)
    yield from _over_nodes(section)
    for name in ("stop", "stop_token_ids"):
        if workload.forced and section.get(name) is not None:
            yield f"tensorrt.{name} means nothing without min_output_tokens=0"
    if TensorrtParameters.model_validate(section).compiles:
        if spec.adapter is not None:
            yield (
                "adapter: a compiled engine takes none; merge it into the weights "
                "first, or leave out what is about builds"
            )
        if section.get("speculative_config"):
            yield (
                "tensorrt.speculative_config and compiled engines exclude each other: "
                "leave out what is about builds"
            )


def _over_nodes(section: Mapping[str, Any]) -> Iterator[str]:
    """More ranks than a machine has GPUs are started by TensorRT-LLM's own launcher."""
    each, names = section.get("gpus_per_node"), _SHARED_BY
    ranks = prod(section.get(name) or 1 for name in names)
    if each is not None and ranks > each:
        yield (
            f"tensorrt.gpus_per_node={each} is below the {ranks} ranks of "
            f"{' x '.join(names)}: over several nodes TensorRT-LLM is started by a "
            "launcher of its own (trtllm-llmapi-launch below srun or mpirun), which "
            "pytest-lem does not run; stay within a node, or take vLLM by Ray"
        )


def _sizes(section: Mapping[str, Any], workload: Workload) -> Iterator[str]:
    limits = {
        "max_batch_size": ("batch_size", workload.batch_size),
        "max_input_len": ("input_tokens", workload.input_tokens),
        "max_beam_width": ("decoder.num_beams", workload.decoder.num_beams),
    }
    if workload.concurrency is not None:
        del limits["max_batch_size"]  # the others wait, which the record shows
    for name, (path, wanted) in limits.items():
        there = section.get(name)
        if there is not None and wanted is not None and wanted > there:
            yield f"tensorrt.{name}={there} is below {path}={wanted}"


def _texts(section: Mapping[str, Any], workload: Workload) -> Iterator[str]:
    beams, texts = workload.decoder.num_beams or 1, section.get("n") or 1
    if beams > 1:
        if section.get("best_of") is not None:
            yield "decoder.num_beams and tensorrt.best_of exclude each other"
        if texts > beams:
            yield f"tensorrt.n={texts} is above decoder.num_beams={beams}"
        if workload.decoder.draws:
            yield "decoder.num_beams and decoder.do_sample exclude each other"
        return
    for name in (one for one in _OF_BEAMS if section.get(one) is not None):
        yield f"tensorrt.{name} means nothing without decoder.num_beams above 1"
    if max(texts, section.get("best_of") or 1) > 1 and not workload.decoder.draws:
        yield (
            "tensorrt.n and best_of above 1 need decoder.do_sample=True: else all "
            "texts are alike"
        )


def _adapters(spec: EngineSpec) -> Iterator[str]:
    room = spec.engine.get("enable_lora")
    if room is False and spec.adapter is not None:
        yield "tensorrt.enable_lora=False and adapter exclude each other"
    if not room and spec.adapter is None:
        for name in (one for one in _OF_LORA if spec.engine.get(one) is not None):
            yield f"tensorrt.{name} needs tensorrt.enable_lora=True, or adapter"


def untimed(section: Mapping[str, Any], asked: str) -> Iterator[str]:
    """A line for each parameter that leaves tokens without the times that are asked."""
    if max(section.get("n") or 1, section.get("best_of") or 1) > 1:
        yield f"tensorrt.n and best_of need {asked} off: tokens are timed of one text"
    if section.get("num_postprocess_workers"):
        yield (
            f"tensorrt.num_postprocess_workers needs {asked} off: tokens are timed "
            "where they come out"
        )
