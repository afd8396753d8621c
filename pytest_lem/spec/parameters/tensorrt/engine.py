"""How TensorRT-LLM loads a model, holds its cache and schedules requests."""

from typing import Any, Literal

from pytest_lem.spec.parameters.about import Bool, Float, Int, Section, into

_engine = into("TorchLlmArgs")
_cache = into("KvCacheConfig")
_schedule = into("SchedulerConfig")


class Loading(Section):
    """The model and its limits."""

    load_format: Literal["auto", "dummy", "vision_only", "gms"] | None = _engine(
        "How weights are read; dummy makes random ones.",
        effect="",
        own="auto",
        advice="Matters to start-up only.",
    )
    tokenizer_revision: str | None = _engine(
        "Branch, tag or commit of the tokenizer.", effect="", own="revision"
    )
    model_kwargs: dict[str, Any] | None = _engine(
        "Values that replace the model's config; unknown ones are ignored.",
        effect="E~ T~ L~ M~",
        advice="May make another model of it.",
    )
    checkpoint_format: str | None = _engine(
        "Whose format the weights have.", effect="", own="HF"
    )
    force_dynamic_quantization: Bool | None = _engine(
        "Find scales while running.", effect="E~ T~ L~", own="false"
    )
    max_batch_size: Int | None = _engine(
        "Requests that run at once.",
        effect="E- T+ L+ M+",
        own="2048",
        unit="requests",
        ge=1,
    )
    max_input_len: Int | None = _engine(
        "Longest prompt that is admitted.", effect="M~", own="1024", unit="tokens", ge=1
    )
    max_seq_len: Int | None = _engine(
        "Longest prompt and output together.",
        effect="T~ M+",
        own="the model's",
        unit="tokens",
        ge=1,
    )
    max_num_tokens: Int | None = _engine(
        "Tokens computed in one step.",
        effect="E~ T+ L~ M+",
        own="8192",
        unit="tokens",
        ge=1,
    )
    max_beam_width: Int | None = _engine(
        "Widest beam search.",
        effect="M+",
        own="1",
        unit="beams",
        needs="at least num_beams.",
        older=("beam_width",),
        ge=1,
    )


class Parallel(Section):
    """Several GPUs."""

    tensor_parallel_size: Int | None = _engine(
        "GPUs that share each layer.",
        effect="E+ T~ L- M-",
        own="1",
        unit="GPUs",
        older=("tp_size",),
        ge=1,
    )
    pipeline_parallel_size: Int | None = _engine(
        "Groups of layers, one after the other.",
        effect="E+ T~ L+ M-",
        own="1",
        unit="stages",
        older=("pp_size",),
        ge=1,
    )
    pp_partition: list[Int] | None = _engine(
        "Layers in each stage.", effect="T~ L~", own="equal shares"
    )
    context_parallel_size: Int | None = _engine(
        "GPUs that share a prompt.", effect="E~ T~ L-", own="1", ge=1
    )
    cp_config: dict[str, Any] | None = _engine(
        "How they share it.", effect="L~", choices="ULYSSES, RING, HELIX"
    )
    enable_attention_dp: Bool | None = _engine(
        "Each GPU attends to requests of its own.",
        effect="E~ T+ L~",
        own="false",
        needs="a model with latent attention.",
    )
    attention_dp_config: dict[str, Any] | None = _engine(
        "How requests are spread over them.",
        effect="T~ L~",
        choices="enable_balance, timeout_iters, batching_wait_iters, ...",
        needs="enable_attention_dp.",
    )
    moe_tensor_parallel_size: Int | None = _engine(
        "GPUs that share each expert.", effect="E~ T~ L~", ge=1
    )
    moe_expert_parallel_size: Int | None = _engine(
        "GPUs over which experts are spread.", effect="E~ T+ L~", ge=1
    )
    moe_cluster_parallel_size: Int | None = _engine(
        "Clusters of experts.", effect="E~ T~ L~", ge=1
    )
    gpus_per_node: Int | None = _engine(
        "GPUs of one machine.", effect="", own="all that are visible", ge=1
    )
    allreduce_strategy: str | None = _engine(
        "How GPUs add up.",
        effect="L~",
        own="AUTO",
        choices="AUTO, NCCL, UB, MINLATENCY, ONESHOT, TWOSHOT, LOWPRECISION, MNNVL, "
        "NCCL_SYMMETRIC",
    )
    orchestrator_type: Literal["rpc", "ray"] | None = _engine(
        "How workers are started.", effect="L~", own="MPI"
    )


class KvCache(Section):
    """`kv_cache_config`."""

    free_gpu_memory_fraction: Float | None = _cache(
        "Share of the memory that weights leave.",
        effect="T+ M+",
        own="0.9",
        advice="Not a share of all memory, as vLLM's gpu_memory_utilization is.",
        older=("gpu_memory_utilization",),
        gt=0,
        le=1,
    )
    max_tokens: Int | None = _cache(
        "Tokens that the cache holds at most.",
        effect="T+ M+",
        unit="tokens",
        advice="A fixed size for comparable runs.",
        ge=1,
    )
    max_gpu_total_bytes: Int | None = _cache(
        "Size of the cache.", effect="T+ M+", own="0", unit="bytes", ge=0
    )
    enable_block_reuse: Bool | None = _cache(
        "Reuse the cache of equal beginnings (prefix caching).",
        effect="E- T+ L-",
        own="true",
        advice="False where repeated prompts must cost their full price.",
    )
    enable_partial_reuse: Bool | None = _cache(
        "Reuse parts of blocks.", effect="E- L-", own="true"
    )
    copy_on_partial_reuse: Bool | None = _cache(
        "Copy a block that is reused in part.", effect="L~", own="true"
    )
    block_reuse_config: dict[str, Any] | None = _cache(
        "For whom blocks are kept.",
        effect="E~ L~",
        choices="policy: all_reusable, per_request, per_conversation",
        versions=">=1.3",
    )
    dtype: str | None = _cache(
        "Type of cached keys and values.",
        effect="E- T+ L- M-",
        own="auto",
        choices="auto, float16, bfloat16, float32, fp8, fp8_ds_mla, nvfp4",
    )
    tokens_per_block: Int | None = _cache(
        "Tokens in a block of the cache.", effect="L~", own="32", unit="tokens", ge=1
    )
    host_cache_size: Int | None = _cache(
        "Host memory for blocks that were put off.", effect="E~ L~", unit="bytes", ge=0
    )
    disk_cache_size: Int | None = _cache(
        "Disk for blocks that were put off.",
        effect="E~ L~",
        unit="bytes",
        needs="disk_cache_path.",
        versions=">=1.3",
        ge=0,
    )
    disk_cache_path: str | None = _cache(
        "Directory of these blocks.", effect="", versions=">=1.3"
    )
    max_attention_window: list[Int] | None = _cache(
        "Tokens that each layer attends to.", effect="E- T+ L- M-"
    )
    sink_token_length: Int | None = _cache(
        "First tokens that are always kept.",
        effect="M+",
        unit="tokens",
        advice="The PyTorch backend ignores it.",
        ge=0,
    )
    use_uvm: Bool | None = _cache(
        "A cache in managed memory.", effect="E+ T- L+", own="false"
    )
    use_kv_cache_manager_v2: Bool | None = _cache(
        "The newer manager of the cache.", effect="L~", own="false"
    )


class Scheduler(Section):
    """`scheduler_config`."""

    capacity_scheduler_policy: (
        Literal["MAX_UTILIZATION", "GUARANTEED_NO_EVICT", "STATIC_BATCH"] | None
    ) = _schedule(
        "Whether requests may be put off for others.",
        effect="E~ T~ L~",
        own="GUARANTEED_NO_EVICT",
    )
    context_chunking_policy: (
        Literal["FIRST_COME_FIRST_SERVED", "EQUAL_PROGRESS", "FORCE_CHUNK"] | None
    ) = _schedule("Whose prompt is read next.", effect="L~")
    waiting_queue_policy: Literal["fcfs", "priority"] | None = _schedule(
        "Which request is next.", effect="L~", own="fcfs", versions=">=1.3"
    )
    dynamic_batch_config: dict[str, Any] | None = _schedule(
        "Change limits while running.",
        effect="E~ T~ L~",
        own="none",
        advice="Off: it changes the work during a measurement.",
    )
    use_python_scheduler: Bool | None = _schedule(
        "Schedule in Python.", effect="E+ T- L+", own="false", versions=">=1.3"
    )
    enable_prefix_aware_scheduling: Bool | None = _schedule(
        "Count what the cache has when requests are admitted.",
        effect="T~ L~",
        own="true",
        versions=">=1.3",
    )


class Scheduling(Section):
    """The cache, and which requests run together."""

    kv_cache_config: KvCache | None = None
    kv_cache_compression_config: dict[str, Any] | None = _engine(
        "Fewer bits for pages that are rarely read.",
        effect="E~ T~ M-",
        versions=">=1.3",
    )
    scheduler_config: Scheduler | None = None
    enable_chunked_prefill: Bool | None = _engine(
        "Read long prompts in pieces beside decoding.",
        effect="E~ T+ L~",
        own="false",
        older=("enable_chunked_context",),
    )
    batch_wait_timeout_ms: Float | None = _engine(
        "Wait for more requests.", effect="E- T+ L+", own="0", unit="ms", ge=0
    )
    batch_wait_timeout_iters: Int | None = _engine(
        "Wait for more requests.", effect="E- T+ L+", own="0", unit="steps", ge=0
    )
    batch_wait_max_tokens_ratio: Float | None = _engine(
        "Share of max_num_tokens that ends the wait.",
        effect="T~ L~",
        own="0",
        ge=0,
        le=1,
    )
    disable_overlap_scheduler: Bool | None = _engine(
        "Do not schedule a step while another runs.", effect="E+ T- L+", own="false"
    )
    stream_interval: Int | None = _engine(
        "Steps between events of a stream.",
        effect="T+ L~",
        own="1",
        unit="steps",
        advice="1: anything else falsifies the times between tokens.",
        ge=1,
    )
    enable_early_first_token_response: Bool | None = _engine(
        "Send the first token at once.", effect="L-", versions=">=1.3"
    )
