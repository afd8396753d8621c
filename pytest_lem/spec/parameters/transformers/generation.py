"""How transformers generates: `GenerationConfig`, speculation, continuous batching."""

from typing import Any, Literal

from pydantic import model_validator

from pytest_lem.spec.parameters.about import HARNESS, Bool, Float, Int, Section, into

_config = into("GenerationConfig")
_assistant = into("GenerationConfig")
_compile = into("CompileConfig")
_continuous = into("ContinuousBatchingConfig")
_ours = into(HARNESS)


class Compile(Section):
    """`compile_config`: how a static cache's forward pass is compiled, on GPUs only."""

    fullgraph: Bool | None = _compile("Refuse graph breaks.", effect="E- T+ L-")
    dynamic: Bool | None = _compile("Compile for any shape.", effect="E+ T- L+")
    backend: str | None = _compile("What compiles.", effect="E~ T~ L~", own="inductor")
    mode: str | None = _compile(
        "Mode of torch.compile.", effect="E- T+ L- M+", own="reduce-overhead"
    )
    options: dict[str, Any] | None = _compile(
        "Options of the compiler.", effect="E~ T~ L~"
    )


class Generation(Section):
    """Fields of `GenerationConfig` beside the universal decoder's."""

    use_cache: Bool | None = _config(
        "Keep keys and values; without them every step computes the whole text again.",
        effect="E- T+ L- M+",
        own="true",
        advice="Leave it on, but to show what it saves.",
    )
    cache_implementation: (
        Literal[
            "dynamic",
            "static",
            "offloaded",
            "offloaded_static",
            "quantized",
            "sliding_window",
            "hybrid",
            "hybrid_chunked",
            "offloaded_hybrid",
            "offloaded_hybrid_chunked",
            "paged",
        ]
        | None
    ) = _config(
        "Which cache holds keys and values.",
        effect="E~ T~ L~ M~",
        own="dynamic",
        advice="static lets the forward pass be compiled on GPUs.",
        needs="offloaded: a GPU; quantized: optimum-quanto or hqq.",
    )
    cache_config: dict[str, Any] | None = _config(
        "Arguments of the cache, such as backend and nbits of a quantized one.",
        effect="T~ L~ M-",
        needs="cache_implementation quantized.",
    )
    max_cache_len: Int | None = _config(
        "Tokens that a static cache has room for.",
        effect="E+ M+",
        own="prompt and output",
        unit="tokens",
        needs="cache_implementation static.",
        ge=1,
    )
    prefill_chunk_size: Int | None = _config(
        "Prompt tokens computed at once.",
        effect="T- L+ M-",
        own="the whole prompt",
        unit="tokens",
        ge=1,
    )
    compile_config: Compile | None = None
    disable_compile: Bool | None = _config(
        "Do not compile, also with a static cache.", effect="E+ T- L+", own="false"
    )
    eos_token_id: Int | list[Int] | None = _config(
        "Ids that end a request; -1 for none.",
        effect="E~ L~",
        own="the model's",
        advice="output_tokens forces the length already.",
    )
    stop_strings: str | list[str] | None = _config(
        "Texts that end a request.", effect="E~ T- L~", own="none"
    )
    max_time: Float | None = _config(
        "End generation after so long.",
        effect="E~ L~",
        own="no limit",
        unit="s",
        advice="Not for comparisons: the work then depends on speed.",
        gt=0,
    )
    early_stopping: Bool | Literal["never"] | None = _config(
        "When a beam search ends.",
        effect="E- T+ L-",
        own="false",
        needs="num_beams > 1.",
        older=("/decoder.early_stopping",),
    )
    length_penalty: Float | None = _config(
        "Above 0 a beam search prefers long texts, below short ones.",
        effect="E~ L~",
        own="1.0",
        needs="num_beams > 1.",
        older=("/decoder.length_penalty",),
    )
    num_return_sequences: Int | None = _config(
        "Texts per request.", effect="E+ T~ L+ M+", own="1", unit="texts", ge=1
    )
    typical_p: Float | None = _config(
        "Keep the locally typical tokens of so much probability.",
        effect="E+ T- L+",
        own="1.0",
        needs="do_sample.",
        gt=0,
        le=1,
    )
    epsilon_cutoff: Float | None = _config(
        "Drop tokens below this probability.",
        effect="E+ T- L+",
        own="0",
        needs="do_sample.",
        ge=0,
        lt=1,
    )
    eta_cutoff: Float | None = _config(
        "Drop tokens below a probability that depends on entropy.",
        effect="E+ T- L+",
        own="0",
        needs="do_sample.",
        ge=0,
        lt=1,
    )
    top_h: Float | None = _config(
        "Keep the tokens that hold this share of the entropy.",
        effect="E+ T- L+",
        own="none",
        needs="do_sample.",
        gt=0,
        le=1,
    )
    guidance_scale: Float | None = _config(
        "Classifier-free guidance: every step is computed twice.",
        effect="E+ T- L+ M+",
        own="none",
        gt=1,
    )
    output_scores: Bool | None = _config(
        "Keep the scores of each step.", effect="T- M+", own="false"
    )
    output_logits: Bool | None = _config(
        "Keep the logits of each step.", effect="T- M+", own="false"
    )
    return_dict_in_generate: Bool | None = _config(
        "Return an object instead of ids.", effect="M+", own="false"
    )
    output_hidden_states: Bool | None = _config(
        "Keep hidden states of each step.",
        effect="E+ T- M+",
        own="false",
        needs="return_dict_in_generate.",
    )
    output_attentions: Bool | None = _config(
        "Keep attention of each step.",
        effect="E+ T- M+",
        own="false",
        needs="return_dict_in_generate, attn_implementation eager.",
    )


class Speculation(Section):
    """Drafts that the model checks several tokens at a time."""

    assistant_model: str | None = into("generate")(
        "A smaller model that drafts tokens: hub id, path or synthetic:NAME.",
        effect="E~ T~ L- M+",
        own="none",
        advice="Report the acceptance rate with it.",
        needs="batch_size 1, the same tokenizer.",
        older=("assisted_generation.model",),
    )
    num_assistant_tokens: Int | None = _assistant(
        "Tokens drafted at a time.",
        effect="E~ T~ L~",
        own="20",
        unit="tokens",
        needs="assistant_model.",
        older=("assisted_generation.num_tokens",),
        ge=1,
    )
    num_assistant_tokens_schedule: (
        Literal["constant", "heuristic", "heuristic_transient"] | None
    ) = _assistant(
        "Whether the number of drafted tokens changes while running.",
        effect="E~ T~ L~",
        own="constant",
        advice="constant: anything else changes the work during a measurement.",
        needs="assistant_model.",
    )
    assistant_confidence_threshold: Float | None = _assistant(
        "Below this confidence a draft is cut short.",
        effect="E~ T~ L~",
        own="0.4",
        advice="0 keeps drafts at a fixed length.",
        needs="assistant_model.",
        ge=0,
        le=1,
    )
    prompt_lookup_num_tokens: Int | None = _config(
        "Draft so many tokens by looking for the last ones in the prompt.",
        effect="E~ T~ L-",
        own="none",
        unit="tokens",
        advice="Pays where output repeats input.",
        needs="no assistant_model.",
        ge=1,
    )
    max_matching_ngram_size: Int | None = _config(
        "Longest run of tokens looked for.",
        effect="",
        own="2",
        unit="tokens",
        needs="prompt_lookup_num_tokens.",
        ge=1,
    )
    assistant_early_exit: Int | None = _config(
        "Draft with the first so many layers of the model itself.",
        effect="E~ T~ L-",
        own="none",
        unit="layers",
        ge=1,
    )
    use_mtp: Bool | None = _config(
        "Draft with the model's own multi-token heads.",
        effect="E~ T+ L-",
        own="false",
        needs="a model that has them.",
        versions=">5.17",
    )
    speculation_type: str | None = _config(
        "Another way to speculate.",
        effect="E~ T~ L-",
        own="none",
        choices="dflash",
        versions=">5.17",
    )


class ContinuousBatching(Section):
    """`continuous_batching`: `generate_batch`, which adds requests as others end."""

    enabled: Bool | None = _ours(
        "Generate by `generate_batch` instead of static batches.",
        effect="E- T+ L~ M+",
        own="false",
    )
    page_size: Int | None = _continuous(
        "Tokens in a page of the cache.",
        effect="M~",
        own="256",
        unit="tokens",
        versions=">5.17",
        older=("continuous_batching.block_size",),
        ge=1,
    )
    num_blocks: Int | None = _continuous(
        "Pages of the cache.", effect="T+ M+", own="what memory allows", ge=1
    )
    max_batch_tokens: Int | None = _continuous(
        "Tokens computed in one step.",
        effect="T+ L+ M+",
        own="what memory allows",
        unit="tokens",
        ge=1,
    )
    max_memory_percent: Float | None = _continuous(
        "Share of free memory for the cache.", effect="T+ M+", gt=0, le=1
    )
    max_requests_per_batch: Int | None = _continuous(
        "Requests in one step.",
        effect="E- T+ L+",
        own="batch_size",
        unit="requests",
        ge=1,
    )
    allow_block_sharing: Bool | None = _continuous(
        "Share pages of equal beginnings (prefix caching).",
        effect="E- T+ L- M-",
        own="true",
        advice="Off where repeated prompts must cost their full price.",
    )
    use_cuda_graph: Bool | None = _continuous(
        "Replay steps as CUDA graphs.",
        effect="E- T+ L- M+",
        own="decided by the attention",
        needs="a GPU.",
    )
    use_async_batching: Bool | None = _continuous(
        "Prepare a step while another runs.", effect="E- T+ L-", own="automatic"
    )
    scheduler_type: Literal["fifo", "prefill_first"] | None = _continuous(
        "Which requests a step takes.", effect="T~ L~", own="fifo"
    )
    cpu_offload_space: Float | None = _continuous(
        "Host memory for pages of requests that were put off.",
        effect="E+ T~ M-",
        own="0",
        unit="GiB",
        ge=0,
    )
    cpu_offload_space_safety_threshold: Float | None = _continuous(
        "Share of host memory that offloading may fill.",
        effect="",
        own="0.8",
        gt=0,
        le=1,
    )
    varlen_compile_config: Compile | None = None
    decode_compile_config: Compile | None = None
    default_compile_level: Int | None = _continuous(
        "How much is compiled where nothing is said.",
        effect="E- T+ L-",
        own="0",
        ge=0,
    )
    auto_switch_to_flash: Bool | None = _continuous(
        "Let the library change the attention kernel by itself.",
        effect="E~ T+ L~",
        own="false, unlike the library's",
        advice="False, so that the kernel asked for is the kernel measured.",
        versions=">5.17",
    )

    @model_validator(mode="after")
    def _is_enabled(self) -> "ContinuousBatching":
        unused = sorted(self.model_fields_set - {"enabled"})
        if unused and not self.enabled:
            msg = f"{unused[0]} needs enabled=True"
            raise ValueError(msg)
        return self


class Batching(Section):
    """`batching`: how prompts are put into batches."""

    strategy: Literal["static", "dynamic", "sorted_static", "sorted_dynamic"] | None = (
        _ours(
            "By number, by tokens as well, or either after sorting by length.",
            effect="E~ T~ L~",
            own="static",
            advice="sorted_* wastes fewest pads; outputs keep their order.",
            older=("/batching.strategy",),
        )
    )
    max_tokens_per_batch: Int | None = _ours(
        "Padded tokens in one batch.",
        effect="E- T+ L+ M+",
        unit="tokens",
        needs="strategy dynamic or sorted_dynamic.",
        older=("/batching.max_tokens_per_batch",),
        ge=1,
    )

    @model_validator(mode="after")
    def _budget_agrees(self) -> "Batching":
        dynamic = str(self.strategy).endswith("dynamic")
        if dynamic and self.max_tokens_per_batch is None:
            msg = f"strategy={self.strategy} needs max_tokens_per_batch"
            raise ValueError(msg)
        if self.max_tokens_per_batch is not None and not dynamic:
            msg = "max_tokens_per_batch needs strategy dynamic or sorted_dynamic"
            raise ValueError(msg)
        return self


class Extra(Section):
    """`extra`: arguments passed on as they are, none of which is a parameter here."""

    load: dict[str, Any] | None = into("from_pretrained")(
        "Further arguments of loading.", called="**", effect="E~ T~ L~ M~"
    )
    generate: dict[str, Any] | None = into("GenerationConfig")(
        "Further fields of generation.", called="**", effect="E~ T~ L~ M~"
    )
