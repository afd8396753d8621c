"""Over which GPUs and with which kernels vLLM computes."""

from typing import Any, Literal

from pytest_lem.spec.parameters.about import Bool, Float, Int, Section, into

_engine = into("EngineArgs")
_compile = into("CompilationConfig")
_attention = into("AttentionConfig")


class Parallel(Section):
    """Several GPUs."""

    tensor_parallel_size: Int | None = _engine(
        "GPUs that share each layer.",
        effect="E+ T~ L- M-",
        own="1",
        unit="GPUs",
        needs="divides the model's heads.",
        older=("tp_size",),
        ge=1,
    )
    pipeline_parallel_size: Int | None = _engine(
        "Groups of layers, one after the other.",
        effect="E+ T~ L+ M-",
        own="1",
        unit="stages",
        needs="GPUs: on CPUs vLLM 0.32.0 fails at the first step.",
        older=("pp_size",),
        ge=1,
    )
    data_parallel_size: Int | None = _engine(
        "Copies of the engine.",
        effect="E~ T+ M+",
        own="1",
        needs="a process of its own for each.",
        ge=1,
    )
    enable_expert_parallel: Bool | None = _engine(
        "Spread experts over GPUs.",
        effect="E~ T+ L~",
        own="false",
        needs="a mixture-of-experts model.",
    )
    decode_context_parallel_size: Int | None = _engine(
        "GPUs that share a request's cache while decoding.",
        effect="E~ T~ L- M-",
        own="1",
        ge=1,
    )
    prefill_context_parallel_size: Int | None = _engine(
        "GPUs that share a prompt.", effect="E~ T~ L-", own="1", ge=1
    )
    distributed_executor_backend: (
        Literal["ray", "mp", "uni", "external_launcher"] | None
    ) = _engine(
        "How workers are started.",
        effect="E~ L~",
        own="uni or mp, by need",
        needs="ray: its package.",
        older=("distributed_backend",),
    )
    disable_custom_all_reduce: Bool | None = _engine(
        "Add up over NCCL only.",
        effect="L+",
        own="false",
        needs="tensor_parallel_size > 1.",
    )
    all2all_backend: str | None = _engine(
        "How experts exchange tokens.",
        effect="T~ L~",
        own="allgather_reducescatter",
        needs="enable_expert_parallel.",
    )
    enable_dbo: Bool | None = _engine(
        "Overlap two halves of a batch.", effect="T+ L~", own="false"
    )
    numa_bind: Bool | None = _engine(
        "Bind workers to the memory next to their GPU.", effect="L-", own="false"
    )
    numa_bind_nodes: list[Int] | None = _engine(
        "Which memory node for which GPU.", effect="L~", needs="numa_bind."
    )
    numa_bind_cpus: list[str] | None = _engine(
        "Which cores for which GPU.", effect="L~", needs="numa_bind."
    )


class Compilation(Section):
    """`compilation_config`."""

    mode: Literal[0, 1, 2, 3] | None = _compile(
        "Nothing, torch's own, dynamo once, or vLLM's compiler.",
        effect="E- T+ L-",
        own="3",
        advice="Makes cold starts long.",
    )
    cudagraph_mode: (
        Literal["NONE", "PIECEWISE", "FULL", "FULL_DECODE_ONLY", "FULL_AND_PIECEWISE"]
        | None
    ) = _compile(
        "What is replayed as CUDA graphs.",
        effect="E- T+ L- M+",
        own="FULL_AND_PIECEWISE",
    )
    compile_sizes: list[Int | str] | None = _compile(
        "Batch sizes with kernels of their own.", effect="E- T+ L-", own="none"
    )
    pass_config: dict[str, Any] | None = _compile(
        "Which operations are fused.", effect="E- T+ L-", own="by optimization_level"
    )


class Attention(Section):
    """`attention_config`."""

    backend: str | None = _attention(
        "Attention kernel.",
        effect="E~ T~ L~",
        own="vLLM's choice",
        choices="FLASH_ATTN, FLASHINFER, TRITON_ATTN, FLEX_ATTENTION, TORCH_SDPA, "
        "CPU_ATTN, *_MLA, ...",
        needs="Look at what was used: on CPUs it is replaced without a word.",
        older=("attention.backend", "attention_backend"),
    )
    flash_attn_version: Literal[2, 3, 4] | None = _attention(
        "Version of FlashAttention.",
        effect="E~ T~ L~",
        own="the newest that the GPU takes",
        needs="3: Hopper.",
        older=("attention.flash_version",),
    )
    use_trtllm_attention: Bool | None = _attention(
        "Take TensorRT-LLM's kernels in FlashInfer.", effect="E~ T~ L~"
    )
    flash_attn_max_num_splits_for_cuda_graph: Int | None = _attention(
        "Splits of a long request inside CUDA graphs.", effect="L~", own="32", ge=1
    )


class Execution(Section):
    """Kernels, graphs and compilers."""

    enforce_eager: Bool | None = _engine(
        "No compiler and no CUDA graphs.",
        effect="E+ T- L+ measured",
        own="false",
        advice="True starts faster; graphs lower the time between tokens.",
    )
    optimization_level: Literal[0, 1, 2, 3] | None = _engine(
        "Bundle of compiler and graph settings.", effect="E- T+ L-", own="2"
    )
    in_process: Bool | None = into("environment")(
        "Run the engine's core in the process that asks it.",
        called="VLLM_ENABLE_V1_MULTIPROCESSING",
        effect="L~",
        own="true on CPUs without parallelism, else false",
        advice="Its own process is how vLLM serves; in one process steps repeat.",
    )
    performance_mode: Literal["balanced", "interactivity", "throughput"] | None = (
        _engine("What kernels and graphs are chosen for.", effect="E~ T~ L~")
    )
    compilation_config: Compilation | None = None
    cudagraph_capture_sizes: list[Int] | None = _engine(
        "Batch sizes that have a graph.", effect="E~ L~ M+", own="by max_num_seqs"
    )
    max_cudagraph_capture_size: Int | None = _engine(
        "Largest batch that has a graph.",
        effect="E- L- M+",
        own="by max_num_seqs",
        ge=0,
    )
    attention_config: Attention | None = None
    moe_backend: str | None = _engine(
        "Kernels of a mixture of experts.", effect="E~ T~ L~", own="auto"
    )
    linear_backend: str | None = _engine(
        "Kernels of matrix products.", effect="E~ T~ L~", own="auto"
    )
    enable_flashinfer_autotune: Bool | None = _engine(
        "Try FlashInfer's kernels at start-up.", effect="E- T+ L-"
    )


class Observation(Section):
    """What vLLM says of itself; each costs a little on the host."""

    disable_log_stats: Bool | None = _engine(
        "No statistics, and so no figures of requests.",
        effect="L-",
        own="false",
    )
    enable_mfu_metrics: Bool | None = _engine(
        "Estimate operations and bytes of each step.", effect="L+", own="false"
    )
    kv_cache_metrics: Bool | None = _engine(
        "Follow blocks of the cache.", effect="L+", own="false"
    )
    kv_cache_metrics_sample: Float | None = _engine(
        "Share of blocks followed.", effect="L+", needs="kv_cache_metrics.", gt=0, le=1
    )
    cudagraph_metrics: Bool | None = _engine(
        "Count padding in CUDA graphs.", effect="L+", own="false"
    )
    per_request_spec_decode_metrics: Literal["none", "summary", "detailed"] | None = (
        _engine("Acceptance of drafts by request.", effect="L+", own="none")
    )
    enable_sleep_mode: Bool | None = _engine(
        "An allocator that can give memory back while loaded.",
        effect="M~",
        own="false",
    )
