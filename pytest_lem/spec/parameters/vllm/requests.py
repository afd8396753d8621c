"""Drafts, adapters and sampling in vLLM."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from pytest_lem.spec.nearest import unknown
from pytest_lem.spec.parameters.about import HARNESS, Bool, Float, Int, Section, into

_engine = into("EngineArgs")
_draft = into("SpeculativeConfig")
_sample = into("SamplingParams")
_ours = into(HARNESS)


_BY_PROMPT = ("ngram", "ngram_gpu")
_BY_MODEL = ("draft_model", "eagle", "eagle3", "medusa", "mlp_speculator")


def _spell_out(value: object) -> object:
    """`mlp` is what `mlp_speculator` was called."""
    return "mlp_speculator" if value == "mlp" else value


class Speculation(Section):
    """`speculative_config`."""

    method: Annotated[str, BeforeValidator(_spell_out)] | None = _draft(
        "Who drafts tokens.",
        effect="E~ T~ L-",
        own="none",
        choices="ngram, ngram_gpu, draft_model, eagle, eagle3, medusa, "
        "mlp_speculator, suffix, mtp, dflash, dspark, custom_class",
        advice="Energy can rise while latency falls.",
        older=("speculative.method",),
    )
    model: str | None = _draft(
        "The drafting model.",
        effect="E~ T~ L~ M+",
        advice="A hub id, a path, or synthetic:NAME.",
        needs="every method but ngram and suffix.",
        older=("speculative.model",),
    )
    num_speculative_tokens: Int | None = _draft(
        "Tokens drafted at a time.",
        effect="E~ T~ L~",
        own="5; a head's own number",
        unit="tokens",
        older=("speculative.num_tokens",),
        ge=1,
    )
    prompt_lookup_max: Int | None = _draft(
        "Longest run of tokens looked for.",
        effect="",
        unit="tokens",
        needs="method ngram.",
        older=("speculative.ngram_max",),
        ge=1,
    )
    prompt_lookup_min: Int | None = _draft(
        "Shortest run of tokens looked for.",
        effect="",
        unit="tokens",
        needs="method ngram; at most prompt_lookup_max.",
        older=("speculative.ngram_min",),
        ge=1,
    )
    draft_tensor_parallel_size: Int | None = _draft(
        "GPUs of the drafting model.",
        effect="E+ L- M-",
        unit="GPUs",
        older=("speculative.draft_tp_size",),
        ge=1,
    )
    num_speculative_tokens_per_batch_size: list[Any] | None = _draft(
        "Fewer drafts for larger batches.",
        effect="E~ T~ L~",
        advice="Changes the work during a measurement.",
    )
    rejection_sample_method: Literal["standard", "synthetic", "block"] | None = _draft(
        "How drafts are checked; synthetic accepts a fixed share.",
        effect="E~ T~ L~",
        own="standard",
    )
    draft_sample_method: Literal["greedy", "probabilistic"] | None = _draft(
        "How drafts are drawn.", effect="E~ T~ L~", own="greedy"
    )
    quantization: str | None = _draft(
        "Quantisation of the drafting model.", effect="E~ T~ L~ M-"
    )
    kv_cache_dtype: str | None = _draft(
        "Type of the drafting model's cache.", effect="E~ M-"
    )
    max_model_len: Int | None = _draft(
        "Longest text that the drafting model takes.",
        effect="M~",
        unit="tokens",
        ge=1,
    )
    parallel_drafting: Bool | None = _draft(
        "Draft all tokens in one pass.", effect="E- T+ L-", own="false"
    )

    @model_validator(mode="after")
    def _agrees(self) -> "Speculation":
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        by_prompt = self.method in _BY_PROMPT
        if self.method is None and self.model is None:
            yield "method or model is needed"
        if self.model is None and self.method in _BY_MODEL:
            yield f"method={self.method} needs model"
        least, most = self.prompt_lookup_min, self.prompt_lookup_max
        if not by_prompt and (least or most):
            yield "prompt_lookup_min and prompt_lookup_max need method=ngram"
        if least and most and least > most:
            yield f"prompt_lookup_min={least} is above prompt_lookup_max={most}"


class Adapters(Section):
    """LoRA adapters."""

    adapters: dict[str, str] | None = _ours(
        "Several adapters at once, a hub id or path for each name.",
        effect="E+ T- L+ M+",
        own="none",
        advice="owner/name@COMMIT, so that a rerun is the same.",
    )
    request_adapters: list[str | None] | None = _ours(
        "Names of the requests' adapters, in order and then again; null is none.",
        effect="E~ T~ L~",
        own="each of adapters in turn",
        needs="adapters; null beside names: a GPU.",
    )
    enable_lora: Bool | None = _engine(
        "Make room for adapters; costs something also where none is used.",
        effect="E+ T- L+ M+",
        own="false",
        older=("lora.enabled",),
    )
    max_loras: Int | None = _engine(
        "Adapters in one batch.",
        effect="M+",
        own="1, or as many as adapters",
        needs="enable_lora or adapters.",
        older=("lora.max_loras",),
        ge=1,
    )
    max_lora_rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] | None = _engine(
        "Largest rank of an adapter.",
        effect="E+ T- L+ M+",
        own="16",
        needs="enable_lora.",
        older=("lora.max_rank",),
    )
    max_cpu_loras: Int | None = _engine(
        "Adapters kept in host memory.",
        effect="L-",
        own="max_loras",
        needs="enable_lora; at least max_loras.",
        ge=1,
    )
    fully_sharded_loras: Bool | None = _engine(
        "Share adapters between GPUs as well.",
        effect="T~ L~ M-",
        own="false",
        needs="tensor_parallel_size > 1.",
    )
    lora_dtype: Literal["auto", "float16", "bfloat16"] | None = _engine(
        "Type of the adapters.", effect="M~", own="auto"
    )
    lora_target_modules: list[str] | None = _engine(
        "Modules that adapters change.", effect="E~ T~ L~", own="the adapter's"
    )
    specialize_active_lora: Bool | None = _engine(
        "Graphs for each number of adapters.", effect="L- M+", own="false"
    )

    @model_validator(mode="after")
    def _names_agree(self) -> "Adapters":
        named = {one for one in self.request_adapters or () if one is not None}
        if strangers := sorted(named - {*(self.adapters or ())}):
            raise ValueError(unknown("adapter", strangers[0], self.adapters or ()))
        if self.adapters == {} or self.request_adapters == []:
            raise ValueError("adapters and request_adapters have at least one entry")
        return self


class Sampling(Section):
    """Fields of `SamplingParams` beside the universal decoder's."""

    n: Int | None = _sample("Texts per request.", effect="E+ T~ L+ M+", own="1", ge=1)
    ignore_eos: Bool | None = _sample(
        "Go on after the end token.",
        effect="E~ L~",
        own="set where the length is forced",
    )
    presence_penalty: Float | None = _sample(
        "Below 0 repeats, above 0 avoids tokens that occurred.",
        effect="E+ T- L+",
        own="0",
        ge=-2,
        le=2,
    )
    frequency_penalty: Float | None = _sample(
        "The same, by how often.", effect="E+ T- L+", own="0", ge=-2, le=2
    )
    logprobs: Int | None = _sample(
        "Log probabilities per token out.", effect="E+ T- L+", own="none", ge=-1
    )
    prompt_logprobs: Int | None = _sample(
        "Log probabilities per token in.", effect="E+ T- L+ M+", own="none", ge=-1
    )
    logit_bias: dict[Int, Float] | None = _sample(
        "What is added to the logits of tokens.", effect="E+ T- L+", own="none"
    )
    detokenize: Bool | None = _sample(
        "Make text of the tokens.",
        effect="E+ L+",
        own="true",
        advice="False leaves the host's work out.",
    )
    output_kind: Literal["CUMULATIVE", "DELTA", "FINAL_ONLY"] | None = _sample(
        "What each event of a stream holds.",
        effect="L~",
        own="CUMULATIVE",
        advice="DELTA for times of tokens.",
    )
    structured_outputs: dict[str, Any] | None = _sample(
        "A grammar that the text follows.", effect="E+ T- L+", own="none"
    )
    stop: str | list[str] | None = _sample(
        "Texts that end a request.", effect="E~ L~", own="none"
    )
    stop_token_ids: list[Int] | None = _sample(
        "Ids that end a request.", effect="E~ L~", own="none"
    )
    skip_reading_prefix_cache: Bool | None = _sample(
        "Compute every prompt, whatever is cached.",
        effect="E+ T- L+",
        own="false",
        versions=">=0.25",
    )
    request_priorities: list[Int] | None = _ours(
        "Priorities of the requests, in order and then again; lower is sooner.",
        effect="L~",
        own="one for all",
        needs="scheduling_policy=priority.",
        min_length=1,
    )
    beam_length_penalty: Float | None = into("BeamSearchParams")(
        "Above 0 a beam search prefers long texts.",
        called="length_penalty",
        effect="E~ L~",
        own="1.0",
        needs="num_beams > 1.",
        older=("length_penalty",),
    )


class Extra(Section):
    """`extra`: arguments passed on as they are, none of which is a parameter here."""

    engine: dict[str, Any] | None = _engine(
        "Further arguments of the engine.", called="**", effect="E~ T~ L~ M~"
    )
    sampling: dict[str, Any] | None = _sample(
        "Further fields of sampling.", called="**", effect="E~ T~ L~ M~"
    )
