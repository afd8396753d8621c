"""With which kernels TensorRT-LLM computes, drafts, samples and reports."""

from typing import Any, Literal

from pytest_lem.spec.parameters.about import Bool, Float, Int, Section, into

_engine = into("TorchLlmArgs")
_graphs = into("CudaGraphConfig")
_compile = into("TorchCompileConfig")
_draft = into("DecodingBaseConfig")
_ngram = into("NGramDecodingConfig")
_sample = into("SamplingParams")


class CudaGraphs(Section):
    """`cuda_graph_config`."""

    batch_sizes: list[Int] | None = _graphs(
        "Batch sizes that have a graph.", effect="E- L- M+"
    )
    max_batch_size: Int | None = _graphs(
        "Largest batch that has a graph.", effect="E- L- M+", own="128", ge=0
    )
    enable_padding: Bool | None = _graphs(
        "Fill batches up to the next size.", effect="E~ T+ L-", own="false"
    )


class TorchCompile(Section):
    """`torch_compile_config`."""

    enable_fullgraph: Bool | None = _compile("Refuse graph breaks.", effect="E- T+ L-")
    enable_inductor: Bool | None = _compile(
        "Compile by inductor.", effect="E- T+ L-", own="false"
    )
    enable_piecewise_cuda_graph: Bool | None = _compile(
        "Graphs between attentions.", effect="E- T+ L- M+", own="false"
    )
    capture_num_tokens: list[Int] | None = _compile(
        "Numbers of tokens that have a graph.", effect="L- M+"
    )
    enable_userbuffers: Bool | None = _compile(
        "Add up over GPUs in registered memory.", effect="L-", own="true"
    )
    max_num_streams: Int | None = _compile(
        "Streams that kernels are spread over.", effect="L~", own="1", ge=1
    )


class Execution(Section):
    """Kernels, graphs and compilers."""

    cuda_graph_config: CudaGraphs | None = None
    torch_compile_config: TorchCompile | None = None
    prefill_cuda_graph_backend: Literal["disabled", "piecewise", "breakable"] | None = (
        _engine("Graphs for prompts.", effect="E- L- M+", versions=">=1.3")
    )
    prefill_capture_num_tokens: list[Int] | None = _engine(
        "Numbers of tokens of prompts that have a graph.",
        effect="L- M+",
        versions=">=1.3",
    )
    enable_in_graph_sampling: Bool | None = _engine(
        "Sample within the graphs.",
        effect="E- T+ L- M+",
        own="false",
        versions=">=1.3",
    )
    attn_backend: str | None = _engine(
        "Attention kernel.",
        effect="E~ T~ L~",
        own="TRTLLM",
        choices="TRTLLM, FLASHINFER, VANILLA",
    )
    sparse_attention_config: dict[str, Any] | None = _engine(
        "Attend to part of the text.",
        effect="E- T+ L- M-",
        own="none",
        choices="rocket, dsa, skip_softmax, ...",
        advice="For long contexts; changes what comes out.",
    )
    moe_backend: str | None = into("MoeConfig")(
        "Kernels of a mixture of experts.",
        called="backend",
        effect="E~ T~ L~",
        own="AUTO",
        choices="AUTO, CUTLASS, CUTEDSL, TRTLLM, DEEPGEMM, TRITON, VANILLA, ...",
        older=("moe_config.backend",),
    )
    moe_max_num_tokens: Int | None = into("MoeConfig")(
        "Tokens given to experts at once.",
        called="max_num_tokens",
        effect="T~ M-",
        unit="tokens",
        older=("moe_config.max_num_tokens",),
        ge=1,
    )
    nvfp4_gemm_backends: list[str] | None = into("Nvfp4GemmConfig")(
        "Kernels that 4-bit products may use.",
        called="allowed_backends",
        effect="E~ T~ L~",
        own="cutlass, cublaslt, cuda_core",
        older=("nvfp4_gemm_config.allowed_backends",),
    )
    enable_autotuner: Bool | None = _engine(
        "Try kernels at start-up.", effect="E- T+ L-", own="true"
    )
    enable_min_latency: Bool | None = _engine(
        "Kernels for the shortest wait.",
        effect="E+ T- L-",
        own="false",
        needs="Llama 4.",
    )
    garbage_collection_gen0_threshold: Int | None = _engine(
        "Objects that Python makes before it cleans up.", effect="L-", own="20000", ge=0
    )
    num_postprocess_workers: Int | None = _engine(
        "Processes that make text of tokens.", effect="E+ L-", own="0", ge=0
    )
    env_overrides: dict[str, str] | None = _engine(
        "Environment variables of the workers.", effect="E~ T~ L~"
    )


class Speculation(Section):
    """`speculative_config`."""

    decoding_type: (
        Literal[
            "Draft_Target",
            "Eagle",
            "Eagle3",
            "MTP",
            "NGram",
            "PARD",
            "SA",
            "DFlash",
            "DSpark",
            "AUTO",
        ]
        | None
    ) = _ngram(
        "Who drafts tokens.",
        effect="E~ T~ L-",
        own="none",
        advice="Which there are, the installed version tells.",
    )
    speculative_model: str | None = _draft(
        "The drafting model.",
        effect="E~ T~ L- M+",
        needs="decoding_type Draft_Target or Eagle3.",
        older=("draft_model",),
    )
    max_draft_len: Int | None = _draft(
        "Tokens drafted at a time.",
        effect="E~ T~ L~",
        unit="tokens",
        older=("num_draft_tokens",),
        ge=1,
    )
    max_matching_ngram_size: Int | None = _ngram(
        "Longest run of tokens looked for.",
        effect="T~ L~",
        own="2",
        needs="decoding_type NGram.",
        ge=1,
    )
    is_keep_all: Bool | None = _ngram(
        "Keep every match.", effect="", own="true", needs="decoding_type NGram."
    )
    is_use_oldest: Bool | None = _ngram(
        "Take the oldest match.", effect="", own="true", needs="decoding_type NGram."
    )
    is_public_pool: Bool | None = _ngram(
        "Share matches between requests.",
        effect="",
        own="true",
        needs="decoding_type NGram.",
    )
    max_concurrency: Int | None = _draft(
        "Draft only up to so many requests.",
        effect="E~ T~ L~",
        advice="Changes the work during a measurement.",
        ge=1,
    )
    draft_len_schedule: dict[str, Int] | None = _draft(
        "Fewer drafts for larger batches.",
        effect="E~ T~ L~",
        advice="Changes the work during a measurement.",
    )
    acceptance_window: Int | None = _draft(
        "Requests over which acceptance is averaged.",
        effect="T~",
        versions="<1.3",
        ge=1,
    )
    acceptance_length_threshold: Float | None = _draft(
        "Below this acceptance drafting ends.",
        effect="E~ T~ L~",
        advice="Changes the work during a measurement.",
        versions="<1.3",
        ge=0,
    )
    acceptance_rate_window_size: Int | None = _draft(
        "Steps over which acceptance is averaged.",
        effect="T~",
        unit="steps",
        versions=">=1.3",
        ge=1,
    )
    acceptance_rate_threshold: Float | None = _draft(
        "Below this share of accepted drafts drafting ends.",
        effect="E~ T~ L~",
        advice="Changes the work during a measurement.",
        versions=">=1.3",
        ge=0,
        le=1,
    )
    num_nextn_predict_layers: Int | None = into("MTPDecodingConfig")(
        "Layers of the model that draft.",
        effect="E~ T~ L~",
        own="1",
        needs="decoding_type MTP.",
        ge=1,
    )
    allow_advanced_sampling: Bool | None = _draft(
        "Draft for sampled requests as well.", effect="L~", own="false"
    )


class Adapters(Section):
    """LoRA adapters."""

    enable_lora: Bool | None = _engine(
        "Make room for adapters.", effect="E+ T- L+ M+", own="false"
    )
    max_lora_rank: Int | None = into("LoraConfig")(
        "Largest rank of an adapter.",
        effect="E+ T- L+ M+",
        own="64",
        needs="enable_lora.",
        older=("lora_config.max_lora_rank",),
        ge=1,
    )
    max_loras: Int | None = into("LoraConfig")(
        "Adapters on the GPU.",
        effect="M+",
        needs="enable_lora.",
        older=("lora_config.max_loras",),
        ge=1,
    )
    max_cpu_loras: Int | None = into("LoraConfig")(
        "Adapters kept in host memory.",
        effect="L-",
        needs="enable_lora.",
        older=("lora_config.max_cpu_loras",),
        ge=1,
    )
    peft_cache_config: dict[str, Any] | None = _engine(
        "Memory for adapters.", effect="M+", own="2 % of the GPU, 1 GiB of the host"
    )


class Sampling(Section):
    """Fields of `SamplingParams` beside the universal decoder's."""

    n: Int | None = _sample("Texts per request.", effect="E+ T~ L+ M+", own="1", ge=1)
    best_of: Int | None = _sample(
        "Texts made, of which n are kept.",
        effect="E+ T- L+ M+",
        own="n",
        needs="at least n.",
        ge=1,
    )
    ignore_eos: Bool | None = _sample(
        "Go on after the end token.",
        effect="E~ L~",
        own="set where the length is forced",
    )
    stop: list[str] | None = _sample(
        "Texts that end a request.", effect="E~ L~", needs="min_output_tokens=0."
    )
    stop_token_ids: list[Int] | None = _sample(
        "Tokens that end a request.", effect="E~ L~", needs="min_output_tokens=0."
    )
    end_id: Int | None = _sample(
        "The id that ends a request.", effect="E~ L~", own="the model's"
    )
    presence_penalty: Float | None = _sample(
        "Above 0 avoids tokens that occurred.",
        effect="E+ T- L+",
        own="none",
        ge=-2,
        le=2,
    )
    frequency_penalty: Float | None = _sample(
        "The same, by how often.", effect="E+ T- L+", own="none", ge=-2, le=2
    )
    length_penalty: Float | None = _sample(
        "Above 0 a beam search prefers long texts.",
        effect="E~ L~",
        needs="num_beams > 1.",
    )
    early_stopping: Int | None = _sample(
        "When a beam search ends.", effect="E- L-", needs="num_beams > 1."
    )
    beam_search_diversity_rate: Float | None = _sample(
        "How much beams must differ.", effect="E~", needs="num_beams > 1.", ge=0
    )
    logprobs: Int | None = _sample(
        "Log probabilities per token out.", effect="E+ T- L+", own="none", ge=0
    )
    prompt_logprobs: Int | None = _sample(
        "Log probabilities per token in.", effect="E+ T- L+ M+", own="none", ge=0
    )
    return_context_logits: Bool | None = _sample(
        "Return the logits of the prompt.", effect="E+ T- L+ M+", own="false"
    )
    return_generation_logits: Bool | None = _sample(
        "Return the logits of the output.", effect="E+ T- L+ M+", own="false"
    )
    detokenize: Bool | None = _sample(
        "Make text of the tokens.",
        effect="E+ L+",
        own="true",
        advice="False leaves the host's work out.",
    )


class Observation(Section):
    """What TensorRT-LLM says of itself; each costs a little on the host."""

    return_perf_metrics: Bool | None = _engine(
        "Times of each request; of SamplingParams as well.",
        effect="L+",
        own="true, set by pytest-lem",
    )
    perf_metrics_max_requests: Int | None = _engine(
        "Requests whose times are kept.", effect="M+", own="0", ge=0
    )
    enable_iter_perf_stats: Bool | None = _engine(
        "Figures of each step.",
        effect="L+",
        own="true, set by pytest-lem",
        advice="False costs the host less, and leaves cache and queue untold.",
    )
    enable_iter_req_stats: Bool | None = _engine(
        "Figures of each request in each step.",
        effect="L+",
        own="false",
        needs="enable_iter_perf_stats.",
    )
    iter_stats_max_iterations: Int | None = _engine(
        "Steps whose figures are kept.", effect="M+", ge=1
    )
    max_stats_len: Int | None = _engine(
        "Most steps whose figures are kept.",
        effect="M+",
        own="100000, set by pytest-lem",
        unit="steps",
        ge=1,
    )
    enable_energy_metrics: Bool | None = _engine(
        "Energy by NVML, of trtllm-serve only.",
        effect="L+",
        own="false",
        versions=">=1.3",
    )
    gather_generation_logits: Bool | None = _engine(
        "Keep the logits of the output.", effect="M+", own="false"
    )
    guided_decoding_backend: Literal["xgrammar", "llguidance"] | None = _engine(
        "Who keeps text within a grammar.", effect="E+ T- L+", own="none"
    )


class Extra(Section):
    """`extra`: arguments passed on as they are, none of which is a parameter here."""

    engine: dict[str, Any] | None = _engine(
        "Further arguments of the engine.",
        called="**",
        effect="E~ T~ L~ M~",
        older=("extra_runtime_args",),
    )
    sampling: dict[str, Any] | None = _sample(
        "Further fields of sampling.", called="**", effect="E~ T~ L~ M~"
    )
    build: dict[str, Any] | None = into("BuildConfig")(
        "Further fields of a build.",
        called="**",
        effect="E~ T~ L~ M~",
        needs="backend tensorrt.",
        versions="<1.3",
        older=("extra_build_args",),
    )
