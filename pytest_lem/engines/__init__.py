"""What an engine is, and what passes between it and the rest of the house.

Standard library only: this module is imported in the pytest process and in every
worker, also where nothing but the engine is installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from pytest_lem.analysis.failures import Outcome
from pytest_lem.analysis.flops import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an engine can do and who owns its devices; the launcher reads only this.

    `shares_context` says that a CUDA context which the worker opens before the load is
    the engine's own afterwards. It may not be opened for an engine that forks: CUDA
    does not work in a child of a process that has used it. `streams_apart` says that
    timed tokens are another object of the engine's than batches: the spec of a load
    then says under `streams` whether there will be any. `open_loop` says that requests
    are sent to it when they are due, as `GenerateOptions.due_ns` asks, `closed_loop`
    that one is sent when another has ended, as `GenerateOptions.concurrency` does.

    `launch` says who starts an engine's several processes: with `direct` the engine
    itself, if it has some, with `accelerate` the worker, for copies of a model and for
    shards of one, with `torchrun` for shards only. `copies` and `shards` name the
    parameters that say how many. The product of those that `parts` names is how many
    GPUs the engine's own processes take, unless the parameter `afar` has the value
    beside it: then they are anywhere in a cluster. `chats` says that it is one of
    `Chats`.
    """

    launch: Literal["direct", "accelerate", "torchrun"] = "direct"
    cuda: Literal["orchestrator", "backend"] = "backend"
    tensor_parallel: bool = False
    pipeline_parallel: bool = False
    own_batching: bool = False
    streaming: Literal["tokens", "chunks", "none"] = "none"
    shares_context: bool = False
    copies: str | None = None
    shards: str | None = None
    parts: Sequence[str] = ()
    afar: tuple[str, str] | None = None
    streams_apart: bool = False
    chats: bool = False
    open_loop: bool = False
    closed_loop: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateOptions:
    """How one pass is generated; `None` leaves the engine's own default.

    `output_tokens` is the limit per request; `min_output_tokens` equal to it forces
    the length. `output_limits` has the limit of each prompt, none above
    `output_tokens`, where they are not all alike; a forced length is then each its own.
    `decoder` holds universal sampling options (`do_sample`, `temperature`,
    `top_p`, `top_k`, ...). `stamps` asks for a time stamp for each token out. `due_ns`
    has when each request is due, in nanoseconds after the start and in the order of the
    prompts; `concurrency` how many are in flight at once, the next one being sent when
    one has ended. Where both are unset all are sent as soon as there is room.

    A request that takes longer than `request_timeout_s` from when it was sent has
    failed, and so has a stamped one that waits longer than `token_timeout_s` after one
    token for the next. An engine that can ends it then; one that cannot goes on, and
    the worker marks it afterwards. `None` is no limit.
    """

    output_tokens: int
    min_output_tokens: int | None = None
    batch_size: int = 1
    decoder: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    stamps: bool = False
    due_ns: Sequence[int] = ()
    concurrency: int | None = None
    output_limits: Sequence[int] = ()
    request_timeout_s: float | None = None
    token_timeout_s: float | None = None

    @property
    def paced(self) -> bool:
        """Whether requests are sent one by one, at times of their own."""
        return bool(self.due_ns) or self.concurrency is not None

    @property
    def forced(self) -> bool:
        """Whether each request is as long as its limit, whatever it says."""
        return self.min_output_tokens == self.output_tokens

    def of(self, place: int) -> GenerateOptions:
        """How one request of the pass is generated, as if it were alone."""
        if not self.output_limits:
            return self
        limit = self.output_limits[place]
        least = limit if self.forced else self.min_output_tokens
        return replace(
            self, output_tokens=limit, min_output_tokens=least, output_limits=()
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for the wire."""
        return {**asdict(self), "decoder": dict(self.decoder)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GenerateOptions:
        """The options as `to_json` wrote them."""
        rows = {name: tuple(data[name]) for name in ("due_ns", "output_limits")}
        return cls(**{**data, **rows})


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load reports: all plain JSON values.

    `effective` is the configuration read back from the engine's own objects,
    `model` holds facts of the model (architecture, parameters, dtype, revision, hashes;
    for the closed form of its operations the fields of `Architecture`), `memory` the
    sizes in MB (1e6 bytes) with `None` where unknown, and `devices` the devices in use
    (`cpu`, or `cuda:0` and so on, which the worker turns into GPU UUIDs).
    """

    duration_s: float
    effective: dict[str, Any]
    model: dict[str, Any]
    memory: dict[str, Any]
    devices: list[str]
    flags: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One request and what came of it.

    Times are CLOCK_MONOTONIC nanoseconds. `token_ns` has a stamp for each token out
    where stamps were asked for, else it is empty. `output_ids` are the generated token
    ids, without prompt, padding or anything after the end token; where an engine made
    several `texts` of one prompt, one after another.

    `outcome` is how it ended, and `error` why in one line where it failed. A failed one
    has the tokens and stamps that came until then.
    """

    input_tokens: int
    output_ids: list[int]
    finish_reason: Literal["length", "stop", "unknown"]
    sent_ns: int
    ended_ns: int
    token_ns: list[int]
    texts: int = 1
    outcome: Outcome = "completed"
    error: str | None = None

    @property
    def output_tokens(self) -> int:
        """Tokens generated, as the engine counted them."""
        return len(self.output_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One pass over some requests: `[start_ns, end_ns]` holds generation only.

    Both ends are stamped in the worker with the device synchronised. `padding_tokens`
    counts pad positions the engine computed on; `batches` holds the sizes used;
    `memory` what the engine read once after the pass, in MB, `None` where unknown;
    `native` the engine's own figures, unchanged, and in its `flags` what the engine has
    to say against the pass, in its `speculation` the `verify_calls`, `drafted_tokens`
    and `accepted_tokens` of drafts, in its `scheduler` what a scheduler did, in its
    `request_times_ms` lists of `queue`, `prefill` and `decode` by its own clock, with
    None for a request that failed, in its `at_once` how many requests it can run at
    once; `work` the forward calls it made, `None` where it does not tell, and
    `padding_told` whether pads are in them. `due_ns` has when each request was due, on
    the clock of the stamps, and is empty where none was.
    """

    start_ns: int
    end_ns: int
    completions: list[Completion]
    batches: list[int]
    padding_tokens: int
    memory: dict[str, Any]
    native: dict[str, Any]
    work: list[Work] | None = None
    padding_told: bool = True
    due_ns: list[int] = field(default_factory=list)

    @property
    def duration_s(self) -> float:
        """Length of the pass."""
        return (self.end_ns - self.start_ns) / 1e9


class Engine(Protocol):
    """An inference library with a model loaded; lives in a worker, never in pytest.

    The worker calls `prepare` (outside the window), `synchronize`, `run` for each
    prepared batch (inside), `synchronize`, `collect` (outside). Failures are raised
    as kinds of `LemError`.
    """

    def version(self) -> str:
        """The version of the engine's own library."""

    def packages(self) -> dict[str, str]:
        """Versions of the libraries under it that matter for the result."""

    def load(self, spec: Mapping[str, Any]) -> Loaded:
        """Load the model that the spec names."""

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts, as the engine itself would make them."""

    def detokenize(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Texts of token ids, special tokens left out."""

    def prepare(
        self, prompts: Sequence[Sequence[int]], options: GenerateOptions
    ) -> list[Any]:
        """Batches, ready on the device, in the order of the prompts."""

    def synchronize(self) -> None:
        """Return when the device has nothing left to do."""

    def run(self, batch: Any, options: GenerateOptions) -> Any:
        """Generate one prepared batch; the only call inside a window."""

    def collect(
        self,
        batches: Sequence[Any],
        outcomes: Sequence[Any],
        spans: Sequence[tuple[int, int]],
        options: GenerateOptions,
    ) -> Mapping[str, Any]:
        """Completions in the order of the prompts, and what else is known.

        `spans` has (sent_ns, ended_ns) for each batch. Returns the fields
        `completions`, `batches`, `padding_tokens`, `memory`, `native` of `Generation`,
        `work` and `padding_told` where they can be told, and `due_ns` where options
        have it.
        """

    def unload(self) -> None:
        """Give the model and its memory back."""


@runtime_checkable
class CountsFlops(Protocol):
    """An engine with a counter of its own; the pass is watched, never measured."""

    def count_flops(
        self, batches: Sequence[Any], options: GenerateOptions, *, until_s: float
    ) -> Mapping[str, Any]:
        """Operations of prepared batches: `prefill`, `decode`, `work`, `kv_cache_mb`.

        The last two are None where they are not known. Raises Timeout soon after
        `until_s` on the monotonic clock.
        """


@runtime_checkable
class TellsLikelihood(Protocol):
    """An engine that tells how likely it holds given tokens; never in a window."""

    def log_probabilities(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Of each token of a row but its first, given those before it in the row.

        Natural logarithms, of what the model computes before anything samples. A row
        is shorter than the model's context.
        """


@runtime_checkable
class Salvages(Protocol):
    """An engine that tells what requests did of a pass in which it failed."""

    def salvage(
        self,
        batches: Sequence[Any],
        outcomes: Sequence[Any],
        spans: Sequence[tuple[int, int]],
        options: GenerateOptions,
        error: str,
    ) -> list[Completion]:
        """All requests that were sent, in their order, as far as they came.

        Of the batches that ended there are `outcomes`; the one after them broke off
        with `error`, and its span, which ends there, is the last one. Nothing is asked
        of what may be broken. Empty where nobody knows.
        """


@runtime_checkable
class Chats(Protocol):
    """An engine whose tokenizer is one of transformers, which has chat templates."""

    def chat_tokenizer(self) -> Any:
        """The tokenizer that is loaded."""


@runtime_checkable
class Profiles(Protocol):
    """An engine with a profiler of its own; the pass is watched, never measured."""

    def profile(
        self, batches: Sequence[Any], options: GenerateOptions, path: Path
    ) -> Mapping[str, Any]:
        """Write the profile of prepared batches to `path`; what it found."""
