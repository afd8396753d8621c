"""The record: everything known about a session, as models that read and write JSON.

The JSON Schema that ships beside this file is made from these models. Times named
`start_s` are CLOCK_MONOTONIC seconds, comparable with traces; wall-clock times
(`started_at`, ISO 8601 with offset) are labels only. Sizes are in MB of 1e6 bytes.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

SCHEMA_VERSION = "3.0"

Number = FiniteFloat | None
Json = dict[str, Any]


class _Part(BaseModel):
    """A part of a record: fixed keys, and groups of others under `x_*`."""

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        ser_json_inf_nan="constants",
        json_schema_extra={
            "patternProperties": {"^x_": {}},
            "additionalProperties": False,
        },
    )

    @model_validator(mode="after")
    def _others_are_named(self) -> "_Part":
        strange = [key for key in self.model_extra or {} if not key.startswith("x_")]
        if strange:
            msg = f"unknown key {strange[0]!r}; groups of others are named x_*"
            raise ValueError(msg)
        return self


class Energy(_Part):
    """Energy of a span. Null `gross_j` has its reason in the experiment's `nulls`."""

    gross_j: Number
    net_j: Number
    uncertainty_j: Number
    cpu_j: Number
    dram_j: Number
    per_device: list[Json]
    scope: list[str]
    method: str | None
    meter: str | None
    basis: str | None
    idle_share: Number = None


class Tokens(_Part):
    """Integers counted by the engine; padding is what it computed on for nothing."""

    input: int
    output: int
    padding: int


class Window(_Part):
    """One measured pass over the workload."""

    kind: Literal["energy", "latency"]
    index: int
    start_s: FiniteFloat
    duration_s: FiniteFloat
    inference_s: FiniteFloat
    requests: int
    batches: list[int]
    tokens: Tokens
    token_sha256: str
    energy: Energy
    throughput: dict[str, Number | str]
    latency: Json | None
    phases: Json | None
    flops: Json | None
    thermal: Json | None
    memory: dict[str, Number]
    flags: list[str]


class Idle(_Part):
    """Power without work: the state, how it was read, and how old it was when used."""

    state: Literal["no_context", "context", "model_loaded"]
    power_w: FiniteFloat
    std_w: Number
    samples: int
    duration_s: FiniteFloat
    method: str
    age_s: FiniteFloat


class WarmupRecord(_Part):
    """How the engine was brought to a steady state."""

    policy: str
    converged: bool | None
    cv: Number
    iterations: int
    duration_s: FiniteFloat
    energy_j: Number


class ErrorRecord(_Part):
    """A failure by its kind."""

    kind: str
    type: str
    message: str
    detail: str


class Cycle(_Part):
    """One complete repetition of an experiment."""

    index: int
    status: Literal["complete", "failed", "interrupted"]
    error: ErrorRecord | None
    started_at: str
    ended_at: str
    worker: Json
    engine: Json
    effective: Json
    model: Json
    load: dict[str, Number]
    warmup: WarmupRecord | None
    idle: Idle | None
    native: Json
    windows: list[Window]
    metrics: dict[str, Number]
    timing: dict[str, Number]
    prompts: Json
    flags: list[str]
    nulls: dict[str, str]


class SummaryRecord(_Part):
    """One metric over the complete cycles."""

    value: FiniteFloat
    unit: str
    n: int
    mean: FiniteFloat
    std: Number
    cv: Number
    min: FiniteFloat
    max: FiniteFloat
    median: FiniteFloat
    ci_low: Number
    ci_high: Number
    ci_level: Number
    ci_method: str | None


class ExperimentRecord(_Part):
    """Everything known about one experiment."""

    id: str
    identity: str
    spec: Json
    effective: Json
    provenance: dict[str, str]
    synthetic: bool
    synthetic_weights: bool
    cycles: list[Cycle]
    summary: dict[str, SummaryRecord]
    extended: dict[str, Json]
    quality: Json
    flags: list[str]
    nulls: dict[str, str]
    gate: Json | None
    excluded: list[Json]


class Plan(_Part):
    """What was to run and what ran: order, seed and the cycles in the order run."""

    order: str
    seed: int
    planned: int
    executed: list[Json]
    skipped: list[Json]


class Session(_Part):
    """The pytest session that made the record."""

    id: str
    started_at: str
    plugin_version: str
    command: list[str]
    label: str | None
    order: str
    seed: int
    git: Json | None
    meters: list[Json]
    carbon: Json
    status: Literal["complete", "interrupted"]


class Record(_Part):
    """A report: the JSON file of a session."""

    schema_version: Annotated[str, Field(pattern=r"^3\.\d+$")] = SCHEMA_VERSION
    session: Session
    environment: Json
    plan: Plan
    experiments: list[ExperimentRecord]
