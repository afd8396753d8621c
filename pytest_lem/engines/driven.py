"""Which parameters engines obey already; what is not listed is refused by name.

Standard library only: read where experiments are collected and in the worker.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

TRANSFORMERS = frozenset(
    {
        "adapter",
        "alloc_conf",
        "allow_tf32",
        "assistant_confidence_threshold",
        "assistant_early_exit",
        "assistant_model",
        "attn_implementation",
        "autocast_dtype",
        "autocast_enabled",
        "batching.max_tokens_per_batch",
        "batching.strategy",
        "cache_config",
        "cache_implementation",
        "compile_config",
        "continuous_batching",
        "device",
        "device_map",
        "disable_compile",
        "disable_mmap",
        "early_stopping",
        "eos_token_id",
        "epsilon_cutoff",
        "eta_cutoff",
        "experts_implementation",
        "extra.generate",
        "extra.load",
        "float32_matmul_precision",
        "fusion_config",
        "guidance_scale",
        "kernel_config",
        "length_penalty",
        "max_cache_len",
        "max_matching_ngram_size",
        "max_memory",
        "max_time",
        "merge_adapter",
        "num_assistant_tokens",
        "num_assistant_tokens_schedule",
        "num_return_sequences",
        "num_threads",
        "offload_buffers",
        "offload_folder",
        "output_attentions",
        "output_hidden_states",
        "output_logits",
        "output_scores",
        "prefill_chunk_size",
        "prompt_lookup_num_tokens",
        "quantization_config",
        "return_dict_in_generate",
        "sdpa_kernel",
        "stop_strings",
        "top_h",
        "torch_compile",
        "torch_compile_backend",
        "torch_compile_dynamic",
        "torch_compile_fullgraph",
        "torch_compile_options",
        "typical_p",
        "use_cache",
        "use_kernels",
        "use_safetensors",
    }
)
"""Keys of the `transformers` section, with dots where they nest; `adapter` too."""


def undriven(
    spec: Mapping[str, Any], driven: Collection[str], *, section: str
) -> list[str]:
    """A line for each parameter of a spec that its engine does not obey yet.

    `spec` has the section under `engine`; what is None there is unset.
    """
    paths = list(_paths(spec["engine"], driven, ""))
    told = [f"{section}.{path}" for path in paths]
    if spec.get("adapter") is not None and "adapter" not in driven:
        told.append("adapter")
    return [f"{path} is not driven yet by this version" for path in told]


def drives(path: str, driven: Collection[str], *, section: str) -> bool:
    """Whether an engine obeys the parameter of this path; universal ones it does."""
    if path == "adapter":
        return path in driven
    if not path.startswith(f"{section}."):
        return True
    value: Any = True
    for name in reversed(path.split(".")[1:]):
        value = {name: value}
    return not undriven({"engine": value}, driven, section=section)


def _paths(
    values: Mapping[str, Any], driven: Collection[str], prefix: str
) -> Iterator[str]:
    for key, value in values.items():
        path = f"{prefix}{key}"
        if path in driven or value is None:
            continue
        if isinstance(value, Mapping) and any(
            one.startswith(f"{path}.") for one in driven
        ):
            yield from _paths(value, driven, f"{path}.")
        else:
            yield path
