"""How vLLM loads a model, holds its cache and schedules requests."""

from typing import Any, Literal

from pytest_lem.spec.parameters.about import Bool, Float, Int, Section, into

_engine = into("EngineArgs")


class Loading(Section):
    """The model, its weights and its tokenizer."""

    quantization: str | None = _engine(
        "Method by which weights have fewer bits.",
        effect="E~ T+ L~ M-",
        own="the checkpoint's",
        choices="awq, awq_marlin, gptq, gptq_marlin, fp8, fbgemm_fp8, modelopt, "
        "modelopt_fp4, compressed-tensors, torchao, experts_int8, quark, moe_wna16, "
        "inc, mxfp4, mxfp8, online, fp8_per_tensor, ...",
        advice="Has to fit the checkpoint; bitsandbytes is gone.",
        older=("quantization_method",),
    )
    quantization_config: dict[str, Any] | None = _engine(
        "Details of quantising while loading.", effect="E~ T+ L~ M-"
    )
    load_format: (
        Literal[
            "auto",
            "hf",
            "pt",
            "safetensors",
            "npcache",
            "dummy",
            "mistral",
            "tensorizer",
            "runai_streamer",
            "sharded_state",
            "fastsafetensors",
        ]
        | None
    ) = _engine(
        "How weights are read; dummy makes random ones.",
        effect="",
        own="auto",
        advice="Matters to start-up only.",
    )
    max_model_len: Int | None = _engine(
        "Longest prompt and output together.",
        effect="T~ M+",
        own="the model's",
        unit="tokens",
        ge=1,
    )
    tokenizer_mode: str | None = _engine(
        "Which tokenizer.", effect="", own="auto", choices="auto, hf, mistral, ..."
    )
    tokenizer_revision: str | None = _engine(
        "Branch, tag or commit of the tokenizer.", effect="", own="revision"
    )
    code_revision: str | None = _engine(
        "Branch, tag or commit of the model's own code.", effect="", own="revision"
    )
    model_impl: Literal["auto", "vllm", "transformers", "terratorch"] | None = _engine(
        "Whose code runs the model.",
        effect="E~ T~ L~",
        own="auto",
        advice="transformers is slower.",
    )
    disable_sliding_window: Bool | None = _engine(
        "Attend to the whole text.",
        effect="E+ T- L+ M+",
        own="false",
        older=("attention.disable_sliding_window",),
    )
    disable_cascade_attn: Bool | None = _engine(
        "No cascade attention for shared beginnings.",
        effect="E~ T~ L~",
        own="decided by vLLM",
    )
    hf_overrides: dict[str, Any] | None = _engine(
        "Values that replace the model's config.",
        effect="E~ T~ L~ M~",
        advice="May make another model of it.",
    )


class Cache(Section):
    """The cache of keys and values."""

    gpu_memory_utilization: Float | None = _engine(
        "Share of each GPU's memory that vLLM takes.",
        effect="T+ M+",
        own="0.92",
        advice="Set kv_cache_memory_bytes instead for comparable runs.",
        gt=0,
        le=1,
    )
    kv_cache_memory_bytes: Int | None = _engine(
        "Size of the cache; replaces the share.",
        effect="T+ M+",
        own="what the share leaves; 1 GiB on CPUs",
        unit="bytes",
        ge=1,
    )
    block_size: Int | None = _engine(
        "Tokens in a block of the cache.",
        effect="T~ L~",
        own="16; 128 on CPUs",
        unit="tokens",
        needs="what the attention backend takes; multiples of 32 on CPUs.",
        ge=1,
    )
    kv_cache_dtype: str | None = _engine(
        "Type of cached keys and values.",
        effect="E- T+ L- M-",
        own="auto",
        choices="auto, float16, bfloat16, fp8, fp8_e4m3, fp8_e5m2, fp8_inc, nvfp4, "
        "int8_per_token_head, turboquant_*, ...",
        advice="Pays at long contexts.",
        needs="fp8: compute capability 8.9.",
    )
    kv_cache_dtype_skip_layers: list[str] | None = _engine(
        "Layers whose cache keeps the model's type.", effect="M+", own="none"
    )
    enable_prefix_caching: Bool | None = _engine(
        "Reuse the cache of equal beginnings.",
        effect="E- T+ L-",
        own="true, and emptied before each window",
        advice="True keeps it over windows; false is none at all.",
    )
    prefix_caching_hash_algo: (
        Literal["sha256", "sha256_cbor", "xxhash", "xxhash_cbor"] | None
    ) = _engine("How beginnings are compared.", effect="L~", own="sha256")
    cpu_offload_gb: Float | None = _engine(
        "Weights kept in host memory.",
        effect="E+ T- L+ M-",
        own="0",
        unit="GiB per GPU",
        ge=0,
    )
    offload_group_size: Int | None = _engine(
        "Layers in a group of weights fetched ahead.", effect="T~ M~", own="0", ge=0
    )
    offload_num_in_group: Int | None = _engine(
        "Layers of each group that are offloaded.", effect="T- M-", own="1", ge=0
    )
    offload_prefetch_step: Int | None = _engine(
        "Groups fetched ahead.", effect="T+ M+", own="1", ge=0
    )
    kv_offloading_size: Float | None = _engine(
        "Host memory for the cache of preempted requests.",
        effect="E~ T+ L~",
        own="none",
        unit="GiB",
        ge=0,
    )
    kv_offloading_backend: Literal["native", "lmcache"] | None = _engine(
        "What moves the cache to the host.",
        effect="T~",
        own="native",
        needs="kv_offloading_size.",
    )
    num_gpu_blocks_override: Int | None = _engine(
        "Blocks of the cache, whatever memory there is.",
        effect="T~ L~ M~",
        advice="For tests of preemption.",
        ge=1,
    )
    kv_sharing_fast_prefill: Bool | None = _engine(
        "Skip layers that share a cache while reading the prompt.",
        effect="E- T+ L-",
        own="false",
        needs="a model whose layers share caches.",
    )


class Scheduling(Section):
    """Which requests run together."""

    max_num_seqs: Int | None = _engine(
        "Requests that run at once.",
        effect="E- T+ L+ M+ measured",
        own="batch_size; by itself vLLM takes 128 to 1024",
        unit="requests",
        ge=1,
    )
    max_num_batched_tokens: Int | None = _engine(
        "Tokens computed in one step.",
        effect="E~ T+ L~ M+",
        own="8192; by itself vLLM takes 2048 to 16384",
        unit="tokens",
        needs="at least max_num_seqs.",
        ge=1,
    )
    max_num_scheduled_tokens: Int | None = _engine(
        "Tokens scheduled in one step, drafts left out.",
        effect="T~ L~",
        unit="tokens",
        ge=1,
    )
    max_num_active_seqs: Int | None = _engine(
        "Requests that decode at once.",
        effect="T- L-",
        own="max_num_seqs",
        unit="requests",
        ge=1,
    )
    enable_chunked_prefill: Bool | None = _engine(
        "Read long prompts in pieces beside decoding.",
        effect="E~ T+ L~",
        own="true",
    )
    long_prefill_token_threshold: Int | None = _engine(
        "Prompts longer than this count as long.",
        effect="L~",
        own="0",
        unit="tokens",
        ge=0,
    )
    scheduling_policy: Literal["fcfs", "priority"] | None = _engine(
        "Which request is next.",
        effect="L~",
        own="fcfs",
        advice="Without request_priorities both take requests in turn.",
    )
    async_scheduling: Bool | None = _engine(
        "Schedule a step while another runs.",
        effect="E- T+ L-",
        own="true on GPUs",
    )
    stream_interval: Int | None = _engine(
        "Tokens in one event of a stream.",
        effect="T+ L~",
        own="1",
        unit="tokens",
        advice="1: anything else falsifies the times between tokens.",
        ge=1,
    )
    scheduler_reserve_full_isl: Bool | None = _engine(
        "Admit a request only if its whole prompt fits.", effect="T~ L~", own="true"
    )
    watermark: Float | None = _engine(
        "Share of the cache kept free.", effect="T~ L~", own="0", ge=0, lt=1
    )
