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
        "distributed_config",
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
        "num_processes",
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


VLLM = frozenset(
    {
        "adapter",
        "adapters",
        "all2all_backend",
        "async_scheduling",
        "attention_config.backend",
        "attention_config.flash_attn_max_num_splits_for_cuda_graph",
        "attention_config.flash_attn_version",
        "attention_config.use_trtllm_attention",
        "beam_length_penalty",
        "block_size",
        "code_revision",
        "compilation_config.compile_sizes",
        "compilation_config.cudagraph_mode",
        "compilation_config.mode",
        "compilation_config.pass_config",
        "cpu_offload_gb",
        "cudagraph_capture_sizes",
        "cudagraph_metrics",
        "decode_context_parallel_size",
        "detokenize",
        "disable_cascade_attn",
        "disable_custom_all_reduce",
        "disable_log_stats",
        "disable_sliding_window",
        "distributed_executor_backend",
        "enable_chunked_prefill",
        "enable_dbo",
        "enable_expert_parallel",
        "enable_flashinfer_autotune",
        "enable_lora",
        "enable_mfu_metrics",
        "enable_prefix_caching",
        "enable_sleep_mode",
        "enforce_eager",
        "extra.engine",
        "extra.sampling",
        "frequency_penalty",
        "fully_sharded_loras",
        "gpu_memory_utilization",
        "hf_overrides",
        "ignore_eos",
        "in_process",
        "kv_cache_dtype",
        "kv_cache_dtype_skip_layers",
        "kv_cache_memory_bytes",
        "kv_cache_metrics",
        "kv_cache_metrics_sample",
        "kv_offloading_backend",
        "kv_offloading_size",
        "kv_sharing_fast_prefill",
        "linear_backend",
        "load_format",
        "logit_bias",
        "logprobs",
        "long_prefill_token_threshold",
        "lora_dtype",
        "lora_target_modules",
        "max_cpu_loras",
        "max_cudagraph_capture_size",
        "max_lora_rank",
        "max_loras",
        "max_model_len",
        "max_num_active_seqs",
        "max_num_batched_tokens",
        "max_num_scheduled_tokens",
        "max_num_seqs",
        "model_impl",
        "moe_backend",
        "n",
        "num_gpu_blocks_override",
        "numa_bind",
        "numa_bind_cpus",
        "numa_bind_nodes",
        "offload_group_size",
        "offload_num_in_group",
        "offload_prefetch_step",
        "optimization_level",
        "output_kind",
        "per_request_spec_decode_metrics",
        "performance_mode",
        "pipeline_parallel_size",
        "prefill_context_parallel_size",
        "prefix_caching_hash_algo",
        "presence_penalty",
        "prompt_logprobs",
        "quantization",
        "quantization_config",
        "request_adapters",
        "request_priorities",
        "scheduler_reserve_full_isl",
        "scheduling_policy",
        "skip_reading_prefix_cache",
        "specialize_active_lora",
        "speculative_config.draft_sample_method",
        "speculative_config.draft_tensor_parallel_size",
        "speculative_config.kv_cache_dtype",
        "speculative_config.max_model_len",
        "speculative_config.method",
        "speculative_config.model",
        "speculative_config.num_speculative_tokens",
        "speculative_config.num_speculative_tokens_per_batch_size",
        "speculative_config.parallel_drafting",
        "speculative_config.prompt_lookup_max",
        "speculative_config.prompt_lookup_min",
        "speculative_config.quantization",
        "speculative_config.rejection_sample_method",
        "stop",
        "stop_token_ids",
        "stream_interval",
        "structured_outputs",
        "tensor_parallel_size",
        "tokenizer_mode",
        "tokenizer_revision",
        "watermark",
    }
)
"""Keys of the `vllm` section, with dots where they nest; `adapter` too."""


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
