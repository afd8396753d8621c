"""Where each parameter lands in the installed vLLM's own configuration."""

import pytest

pytest.importorskip("vllm")

import torch
from vllm.engine.arg_utils import EngineArgs
from vllm.usage.usage_lib import UsageContext

from pytest_lem.engines.vllm.arguments import engine_arguments
from pytest_lem.engines.vllm.effective import differences
from pytest_lem.errors import ConfigError

LORA = {"enable_lora": True}
NGRAM = {"method": "ngram", "num_speculative_tokens": 2, "prompt_lookup_max": 3}


def landed(config, path):
    """The value at a path of vLLM's configuration, plain."""
    for name in path.split("."):
        config = getattr(config, name)
    return getattr(config, "name", config)


@pytest.fixture(scope="module")
def configured(spec_of):
    """vLLM's configuration of a section, and what our reading of it finds wrong."""

    def made(**section):
        arguments = engine_arguments(spec_of(**section), gpus=0)
        config = EngineArgs(**arguments).create_engine_config(UsageContext.LLM_CLASS)
        return config, list(differences(arguments, config))

    return made


CASES = [
    # the model
    ("load_format", "dummy", "load_config.load_format", "dummy", {}),
    ("max_model_len", 512, "model_config.max_model_len", 512, {}),
    ("tokenizer_mode", "hf", "model_config.tokenizer_mode", "hf", {}),
    ("tokenizer_revision", "x", "model_config.tokenizer_revision", "x", {}),
    ("code_revision", "x", "model_config.code_revision", "x", {}),
    ("model_impl", "transformers", "model_config.model_impl", "transformers", {}),
    ("disable_sliding_window", True, "model_config.disable_sliding_window", True, {}),
    ("disable_cascade_attn", True, "model_config.disable_cascade_attn", True, {}),
    (
        "hf_overrides",
        {"rms_norm_eps": 0.5},
        "model_config.hf_config.rms_norm_eps",
        0.5,
        {},
    ),
    # the cache
    ("gpu_memory_utilization", 0.5, "cache_config.gpu_memory_utilization", 0.5, {}),
    ("kv_cache_memory_bytes", 2**25, "cache_config.kv_cache_memory_bytes", 2**25, {}),
    ("block_size", 64, "cache_config.block_size", 64, {}),
    ("kv_cache_dtype", "fp8", "cache_config.cache_dtype", "fp8", {}),
    (
        "kv_cache_dtype_skip_layers",
        ["0"],
        "cache_config.kv_cache_dtype_skip_layers",
        ["0"],
        {"kv_cache_dtype": "fp8"},
    ),
    ("enable_prefix_caching", False, "cache_config.enable_prefix_caching", False, {}),
    (
        "prefix_caching_hash_algo",
        "xxhash",
        "cache_config.prefix_caching_hash_algo",
        "xxhash",
        {},
    ),
    ("cpu_offload_gb", 0.5, "offload_config.uva.cpu_offload_gb", 0.5, {}),
    ("offload_group_size", 2, "offload_config.prefetch.offload_group_size", 2, {}),
    (
        "offload_num_in_group",
        2,
        "offload_config.prefetch.offload_num_in_group",
        2,
        {"offload_group_size": 2},
    ),
    (
        "offload_prefetch_step",
        2,
        "offload_config.prefetch.offload_prefetch_step",
        2,
        {"offload_group_size": 2},
    ),
    ("kv_offloading_size", 0.5, "cache_config.kv_offloading_size", 0.5, {}),
    (
        "kv_offloading_backend",
        "native",
        "cache_config.kv_offloading_backend",
        "native",
        {"kv_offloading_size": 0.5},
    ),
    ("num_gpu_blocks_override", 9, "cache_config.num_gpu_blocks_override", 9, {}),
    ("kv_sharing_fast_prefill", True, "cache_config.kv_sharing_fast_prefill", True, {}),
    # which requests run together
    ("max_num_seqs", 7, "scheduler_config.max_num_seqs", 7, {}),
    ("max_num_batched_tokens", 999, "scheduler_config.max_num_batched_tokens", 999, {}),
    (
        "max_num_scheduled_tokens",
        64,
        "scheduler_config.max_num_scheduled_tokens",
        64,
        {},
    ),
    ("max_num_active_seqs", 3, "scheduler_config.max_num_active_seqs", 3, {}),
    (
        "enable_chunked_prefill",
        False,
        "scheduler_config.enable_chunked_prefill",
        False,
        {},
    ),
    (
        "long_prefill_token_threshold",
        9,
        "scheduler_config.long_prefill_token_threshold",
        9,
        {},
    ),
    ("scheduling_policy", "priority", "scheduler_config.policy", "priority", {}),
    ("async_scheduling", False, "scheduler_config.async_scheduling", False, {}),
    ("stream_interval", 3, "scheduler_config.stream_interval", 3, {}),
    (
        "scheduler_reserve_full_isl",
        False,
        "scheduler_config.scheduler_reserve_full_isl",
        False,
        {},
    ),
    ("watermark", 0.1, "scheduler_config.watermark", 0.1, {}),
    # several devices
    ("tensor_parallel_size", 2, "parallel_config.tensor_parallel_size", 2, {}),
    ("pipeline_parallel_size", 2, "parallel_config.pipeline_parallel_size", 2, {}),
    (
        "distributed_executor_backend",
        "mp",
        "parallel_config.distributed_executor_backend",
        "mp",
        {},
    ),
    (
        "disable_custom_all_reduce",
        True,
        "parallel_config.disable_custom_all_reduce",
        True,
        {},
    ),
    # kernels and graphs
    ("enforce_eager", True, "model_config.enforce_eager", True, {}),
    ("optimization_level", 1, "optimization_level", "O1", {}),
    ("performance_mode", "throughput", "performance_mode", "throughput", {}),
    ("moe_backend", "triton", "kernel_config.moe_backend", "triton", {}),
    ("linear_backend", "torch", "kernel_config.linear_backend", "torch", {}),
    (
        "enable_flashinfer_autotune",
        False,
        "kernel_config.enable_flashinfer_autotune",
        False,
        {},
    ),
    # adapters
    ("enable_lora", True, "lora_config.max_loras", 1, {}),
    ("max_loras", 2, "lora_config.max_loras", 2, LORA),
    ("max_lora_rank", 8, "lora_config.max_lora_rank", 8, LORA),
    ("max_cpu_loras", 3, "lora_config.max_cpu_loras", 3, LORA),
    ("fully_sharded_loras", True, "lora_config.fully_sharded_loras", True, LORA),
    (
        "lora_target_modules",
        ["q_proj"],
        "lora_config.target_modules",
        ["q_proj"],
        LORA,
    ),
    ("lora_dtype", "bfloat16", "lora_config.lora_dtype", torch.bfloat16, LORA),
    ("specialize_active_lora", True, "lora_config.specialize_active_lora", True, LORA),
    # what it says of itself
    ("enable_mfu_metrics", True, "observability_config.enable_mfu_metrics", True, {}),
    ("kv_cache_metrics", True, "observability_config.kv_cache_metrics", True, {}),
    (
        "kv_cache_metrics_sample",
        0.5,
        "observability_config.kv_cache_metrics_sample",
        0.5,
        {"kv_cache_metrics": True},
    ),
    ("cudagraph_metrics", True, "observability_config.cudagraph_metrics", True, {}),
    (
        "per_request_spec_decode_metrics",
        "summary",
        "observability_config.per_request_spec_decode_metrics",
        "summary",
        {"speculative_config": NGRAM},
    ),
]


DRAFT = {"method": "draft_model", "num_speculative_tokens": 2}
NESTED = [
    ("compilation_config", {"mode": 0}, "mode", "NONE"),
    ("compilation_config", {"cudagraph_mode": "NONE"}, "cudagraph_mode", "NONE"),
    ("compilation_config", {"compile_sizes": [1, 2]}, "compile_sizes", [1, 2]),
    (
        "compilation_config",
        {"pass_config": {"fuse_norm_quant": False}},
        "pass_config.fuse_norm_quant",
        False,
    ),
    ("attention_config", {"backend": "FLASH_ATTN"}, "backend", "FLASH_ATTN"),
    ("attention_config", {"flash_attn_version": 3}, "flash_attn_version", 3),
    (
        "attention_config",
        {"use_trtllm_attention": False},
        "use_trtllm_attention",
        False,
    ),
    (
        "attention_config",
        {"flash_attn_max_num_splits_for_cuda_graph": 8},
        "flash_attn_max_num_splits_for_cuda_graph",
        8,
    ),
    ("speculative_config", NGRAM, "method", "ngram"),
    ("speculative_config", NGRAM, "num_speculative_tokens", 2),
    ("speculative_config", NGRAM, "prompt_lookup_max", 3),
    ("speculative_config", {**NGRAM, "prompt_lookup_min": 2}, "prompt_lookup_min", 2),
    ("speculative_config", DRAFT, "model", None),
    (
        "speculative_config",
        {**DRAFT, "draft_tensor_parallel_size": 1},
        "draft_tensor_parallel_size",
        1,
    ),
    ("speculative_config", {**DRAFT, "max_model_len": 512}, "max_model_len", 512),
    ("speculative_config", {**DRAFT, "quantization": "fp8"}, "quantization", "fp8"),
    ("speculative_config", {**DRAFT, "kv_cache_dtype": "fp8"}, "kv_cache_dtype", "fp8"),
    (
        "speculative_config",
        {**DRAFT, "parallel_drafting": False},
        "parallel_drafting",
        False,
    ),
    (
        "speculative_config",
        {**DRAFT, "draft_sample_method": "probabilistic"},
        "draft_sample_method",
        "probabilistic",
    ),
    (
        "speculative_config",
        {**DRAFT, "rejection_sample_method": "block"},
        "rejection_sample_method",
        "block",
    ),
    (
        "speculative_config",
        {**DRAFT, "num_speculative_tokens_per_batch_size": [[1, 4, 2]]},
        "num_speculative_tokens_per_batch_size",
        [(1, 4, 2)],
    ),
]


@pytest.mark.parametrize(
    ("section", "values", "path", "found"),
    NESTED,
    ids=[f"{one[0]}.{one[2]}" for one in NESTED],
)
def test_a_nested_parameter_lands_where_it_works(
    configured, llama, section, values, path, found
):
    """Sections of their own are made into vLLM's own objects."""
    if values.get("method") == "draft_model":
        values = {**values, "model": str(llama)}
    config, wrong = configured(**{section: values})
    there = landed(getattr(config, section), path)
    assert there == (str(llama) if path == "model" else found)
    assert not [line for line in wrong if path in line]


@pytest.mark.parametrize(
    ("key", "value", "path", "found", "beside"), CASES, ids=[one[0] for one in CASES]
)
def test_a_parameter_lands_where_it_works(configured, key, value, path, found, beside):
    """And what is read back agrees with what was asked for."""
    config, wrong = configured(**{key: value, **beside})
    there = landed(config, path)
    assert (list(there) if isinstance(there, (list, set)) else there) == found
    assert not [line for line in wrong if key in line]


def test_how_much_runs_at_once_is_always_said(configured):
    """vLLM's own default depends on the GPU and on the way in."""
    config, _ = configured()
    scheduler = config.scheduler_config
    assert (scheduler.max_num_seqs, scheduler.max_num_batched_tokens) == (256, 8192)
    config, _ = configured(max_num_seqs=9000)
    assert config.scheduler_config.max_num_batched_tokens == 9000
    assert config.cache_config.kv_cache_memory_bytes == 2**30


def test_what_the_installed_version_does_not_take_is_refused(spec_of):
    """By its signature, with the nearest name where the user wrote it."""
    with pytest.raises(ConfigError, match=r"vllm\.swap_space: vLLM 0.* has no such"):
        engine_arguments(spec_of(swap_space=4), gpus=0)
    extra = {"extra": {"engine": {"max_logprob": 5}}}
    with pytest.raises(
        ConfigError, match=r"did you mean 'vllm\.extra\.engine\.max_logprobs'"
    ):
        engine_arguments(spec_of(**extra), gpus=0)
    extra = {"extra": {"engine": {"worker_extension_cls": "x"}}}
    with pytest.raises(ConfigError, match="which is pytest-lem's"):
        engine_arguments(spec_of(**extra), gpus=0)
    with pytest.raises(ConfigError, match="'awk' is unknown; did you mean 'awq'"):
        engine_arguments(spec_of(quantization="awk"), gpus=0)


def test_a_difference_is_a_line(configured):
    """What was asked for beside what there is; here vLLM has no such thing on CPUs."""
    _, wrong = configured(async_scheduling=True)
    assert wrong == [
        "vllm.async_scheduling=True was asked for and False is what there is"
    ]


@pytest.mark.proves("revision", "trust_remote_code")
def test_whose_files_and_code_are_used(configured):
    """Universal parameters reach the same configuration."""
    config, wrong = configured(revision="abc", trust_remote_code=True)
    assert config.model_config.revision == "abc"
    assert config.model_config.trust_remote_code is True
    assert wrong == []


@pytest.mark.proves("vllm.extra.engine")
def test_what_is_passed_on_arrives_unchanged(configured):
    """`extra.engine` reaches arguments that are no parameter here."""
    config, wrong = configured(extra={"engine": {"max_logprobs": 7}})
    assert config.model_config.max_logprobs == 7
    assert wrong == []
