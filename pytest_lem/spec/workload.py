"""What is asked of the engine in one window."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pytest_lem.spec.lengths import PAIRED, Lengths, check_outputs, ends
from pytest_lem.spec.parameters.about import HARNESS, parameter
from pytest_lem.spec.parameters.arrivals import Arrivals
from pytest_lem.spec.parameters.prompts import PromptOptions
from pytest_lem.spec.parameters.slo import Slo
from pytest_lem.spec.parameters.universal import Decoder

LEAST_LATENCY_REQUESTS = 10

Count = Annotated[int, Field(ge=1, strict=True)]
Seconds = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]


def _to(transformers: str, others: str) -> dict[str, str]:
    """A length, as each engine's own object for sampling names it."""
    return {
        "transformers": f"GenerationConfig.{transformers}",
        "vllm": f"SamplingParams.{others}",
        "tensorrt": f"SamplingParams.{others}",
    }


class Workload(BaseModel):
    """The requests of one window: how many, how long, how batched.

    Without `prompts`, prompts are synthetic token ids of exactly `input_tokens`. With
    `prompts` (a file's path, or a list of texts), `input_tokens` is a limit that longer
    prompts are cut to, and unset means no cut; `prompt_options` says how they are read.

    The output length is forced to `output_tokens`, or to what `output_lengths` draws
    for each request, so that engines do equal work; `min_output_tokens` below it (0 for
    none) lets an end token stop earlier.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_tokens: Count | None = parameter(
        HARNESS,
        "Length of synthetic prompts, or the limit that given ones are cut to.",
        effect="E~ T+ L+ M+",
        own="128 for synthetic prompts",
        unit="tokens",
        older=("/max_input_tokens",),
    )
    input_lengths: str | None = parameter(
        HARNESS,
        "Lengths of synthetic prompts, drawn by the seed: `fixed:128`, "
        "`uniform:low=64,high=512`, `normal:mean=256,std=64`, "
        "`lognormal:mean=256,std=200,high=2048`, rows of `file:lengths.csv`, or the "
        "rows of `trace:lengths.csv` in their order.",
        effect="E~ T~ L~ M~",
        own="all input_tokens",
        unit="tokens",
        needs="no input_tokens, no prompts.",
    )
    shared_prefix_tokens: Count | None = parameter(
        HARNESS,
        "Tokens that all synthetic prompts begin with, of their input_tokens.",
        effect="E- T+ L-",
        own="none: no two prompts begin alike",
        unit="tokens",
        advice="With the engine's prefix caching on; least_hit_rate asserts that it "
        "works.",
        needs="no prompts.",
    )
    least_hit_rate: Annotated[float, Field(gt=0, le=1)] | None = parameter(
        HARNESS,
        "Fail a cycle whose windows found less of their prompt tokens in the cache.",
        effect="",
        own="none",
        needs="an engine that tells: vllm, tensorrt.",
    )
    output_tokens: Count | None = parameter(
        _to("max_new_tokens", "max_tokens"),
        "Tokens out per request.",
        effect="E~ T~ L+ M+",
        own="128, or output_lengths",
        unit="tokens",
        default=128,
        older=("/max_output_tokens", "/max_new_tokens"),
    )
    output_lengths: str | None = parameter(
        HARNESS,
        "Tokens out of each request, spelt as input_lengths are; or `paired`: those of "
        "the row that its length in was taken from.",
        effect="E~ T~ L~ M~",
        own="all output_tokens",
        unit="tokens",
        needs="no output_tokens; `paired` a file or trace of input_lengths.",
    )
    min_output_tokens: Annotated[int, Field(ge=0, strict=True)] | None = parameter(
        _to("min_new_tokens", "min_tokens"),
        "Least tokens out per request.",
        effect="E~ L+",
        own="all tokens out, so that engines do equal work",
        unit="tokens",
    )
    batch_size: Count = parameter(
        {
            "transformers": HARNESS,
            "vllm": "EngineArgs.max_num_seqs",
            "tensorrt": "TorchLlmArgs.max_batch_size",
        },
        "Requests at once: exact in transformers, a hint to the others.",
        effect="E- T+ L+ M+ measured",
        unit="requests",
        default=1,
        older=("/batching.batch_size",),
    )
    concurrency: Count | None = parameter(
        HARNESS,
        "Requests in flight at once: the next one is sent when one has ended.",
        effect="E- T+ L+",
        own="batch by batch",
        unit="requests",
        advice="Above what the engine runs at once (batch_size, vllm.max_num_seqs, "
        "tensorrt.max_batch_size) the others wait in its queue.",
        needs="requests above it, no arrivals.",
    )
    requests: Count | None = parameter(
        HARNESS,
        "Requests in one window.",
        effect="",
        own="one batch",
        unit="requests",
        older=("/num_input_prompts", "/n_prompts"),
    )
    prompts: str | list[str] | None = parameter(
        HARNESS,
        "A list of texts, a file (JSON, JSONL, CSV, TSV, Parquet, or text by lines), "
        "or a dataset: hf:owner/name of the hub, or a folder.",
        effect="E~ T~ L~",
        own="synthetic",
    )
    prompt_options: PromptOptions = Field(
        default=PromptOptions(), description="How given prompts are read."
    )
    streaming: bool = parameter(
        HARNESS,
        "Stamp each token, one request at a time.",
        effect="E+ T- L+",
        default=False,
        advice="For latency; energy and throughput are better measured without.",
    )
    streaming_warmup_requests: Annotated[int, Field(ge=0, strict=True)] = parameter(
        HARNESS,
        "Requests before the first one that is timed.",
        effect="",
        unit="requests",
        default=5,
    )
    arrivals: Arrivals | None = Field(default=None, description="When they are sent.")
    request_timeout_s: Seconds | None = parameter(
        HARNESS,
        "A request that takes longer, from when it was sent, is ended and has failed.",
        effect="E~ T~ L~",
        own="none",
        unit="s",
        advice="transformers runs batches to their end and counts such requests after.",
    )
    token_timeout_s: Seconds | None = parameter(
        HARNESS,
        "A stamped request that waits longer for a token after another has failed.",
        effect="",
        unit="s",
        default=30.0,
    )
    slo: Slo | None = Field(default=None, description="What makes a request good.")
    decoder: Decoder = Field(default=Decoder(), description="How tokens are chosen.")
    seed: Annotated[int, Field(ge=0, strict=True)] = parameter(
        {
            "transformers": "set_seed",
            "vllm": "SamplingParams.seed",
            "tensorrt": "SamplingParams.seed",
        },
        "Seed of prompts and sampling.",
        effect="",
        default=42,
        older=("/random_seed",),
    )

    @model_validator(mode="before")
    @classmethod
    def _all_in_flight_run(cls, values: Any) -> Any:
        """With `concurrency` alone the engine may run as many at once."""
        count = values.get("concurrency") if isinstance(values, dict) else None
        if type(count) is int and count > 0:  # else it is refused by its own name
            return {"batch_size": count, **values}
        return values

    @model_validator(mode="before")
    @classmethod
    def _drawn_lengths_are_no_one_length(cls, given: Any) -> Any:
        drawn = isinstance(given, Mapping) and given.get("output_lengths") is not None
        return {"output_tokens": None, **given} if drawn else given

    @model_validator(mode="after")
    def _lengths_agree(self) -> "Workload":
        check_outputs(self.output_tokens, self.output_lengths, self.input_lengths)
        shortest, least = self.shortest_output, self.min_output_tokens or 0
        if shortest is not None and least > shortest:
            name = "output_lengths from " if self.output_lengths else "output_tokens="
            msg = f"min_output_tokens={least} is above {name}{shortest}"
            raise ValueError(msg)
        if isinstance(self.prompts, list) and not any(p.strip() for p in self.prompts):
            msg = "prompts is a list without any text"
            raise ValueError(msg)
        if self.arrivals is not None and self.request_count < 2:
            msg = "arrivals needs requests above 1: there is no gap before a first one"
            raise ValueError(msg)
        if self.concurrency is not None and self.arrivals is not None:
            msg = "concurrency and arrivals exclude each other: say one of the two"
            raise ValueError(msg)
        if (self.concurrency or 0) >= self.request_count:
            msg = (
                f"concurrency={self.concurrency} needs requests above it: a further "
                "one is sent when one has ended"
            )
            raise ValueError(msg)
        if self.slo is not None and self.slo.of_tokens and not self.streaming:
            msg = f"slo.{self.slo.of_tokens[0]} needs streaming, which times tokens"
            raise ValueError(msg)
        return self

    @field_validator("input_lengths", "output_lengths")
    @classmethod
    def _lengths_are_known(cls, text: str | None, field: ValidationInfo) -> str | None:
        paired = text == PAIRED and field.field_name == "output_lengths"
        return text if text is None or paired else str(Lengths.parse(text))

    @model_validator(mode="after")
    def _lengths_are_drawn_once(self) -> "Workload":
        for name in ("input_tokens", "prompts"):
            if self.input_lengths is not None and getattr(self, name) is not None:
                msg = f"input_lengths and {name} exclude each other: give one of them"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _prefix_fits(self) -> "Workload":
        shared, least = self.shared_prefix_tokens, self.shortest_input
        if shared is None:
            return self
        if self.prompts is not None:
            msg = "shared_prefix_tokens is of synthetic prompts: leave out prompts"
            raise ValueError(msg)
        if least is not None and shared >= least:
            msg = (
                f"shared_prefix_tokens={shared} leaves nothing of its own to a prompt "
                f"of {least} tokens"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _options_have_prompts(self) -> "Workload":
        options = self.prompt_options.model_dump(exclude_none=True)
        if options and self.prompts is None:
            msg = f"prompt_options.{next(iter(options))} needs prompts"
            raise ValueError(msg)
        if "truncation" in options and self.input_tokens is None:
            msg = "prompt_options.truncation needs input_tokens"
            raise ValueError(msg)
        cuts = self.input_tokens is not None and options.get("truncation") != "refuse"
        if options.get("chat_template") and cuts:
            msg = (
                "input_tokens would cut prompt_options.chat_template apart: say "
                "prompt_options.truncation=refuse beside it, or leave one of them out"
            )
            raise ValueError(msg)
        return self

    @property
    def request_count(self) -> int:
        """Requests in one window: `requests`, or one batch."""
        return self.requests or self.batch_size

    @property
    def latency_request_count(self) -> int:
        """Requests in a latency window: at least ten, after those that warm up."""
        counted = max(self.request_count, LEAST_LATENCY_REQUESTS)
        return self.streaming_warmup_requests + counted

    @property
    def most_requests(self) -> int:
        """Requests in the longest of its windows."""
        streamed = self.latency_request_count if self.streaming else 0
        return max(self.request_count, streamed)

    @property
    def synthetic_input_tokens(self) -> int:
        """Length of synthetic prompts of one length: `input_tokens`, or 128."""
        return self.input_tokens or 128

    @property
    def forced(self) -> bool:
        """Whether each request is as long as it may be, whatever it says."""
        return self.min_output_tokens in (None, self.output_tokens)

    @property
    def longest_output(self) -> int | None:
        """The most tokens of an answer; None where nothing or a file limits them."""
        return self.output_tokens or ends(self.output_lengths)[1]

    @property
    def shortest_output(self) -> int | None:
        """The fewest tokens that an answer may have; None where a file says that."""
        return self.output_tokens or ends(self.output_lengths)[0]

    @property
    def longest_input(self) -> int | None:
        """The most tokens of a synthetic prompt; None where nothing limits them."""
        if self.input_lengths is None:
            return self.synthetic_input_tokens
        return ends(self.input_lengths)[1]

    @property
    def shortest_input(self) -> int | None:
        """The fewest tokens of a synthetic prompt; None where a file says that."""
        if self.input_lengths is None:
            return self.synthetic_input_tokens
        return ends(self.input_lengths)[0]

    def prompt_file(self, root: Path) -> Path | None:
        """The file or folder of prompts, relative to `root`; None where there is none.

        Neither lists nor what the hub has lie in a file.
        """
        named = isinstance(self.prompts, str) and not self.prompts.startswith("hf:")
        return root / str(self.prompts) if named else None

    def arrival_file(self, root: Path) -> Path | None:
        """The file of recorded times, taken relative to `root`; None for none."""
        file = self.arrivals and self.arrivals.file
        return root / file if file else None
