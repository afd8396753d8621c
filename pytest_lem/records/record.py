"""The record: everything known about a session, as models that read and write JSON.

The JSON Schema that ships beside this file is made from these models. Times named
`start_s` are CLOCK_MONOTONIC seconds, comparable with traces; wall-clock times
(`started_at`, ISO 8601 with offset) are labels only. Sizes are in MB of 1e6 bytes.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, FiniteFloat

from pytest_lem.records.normalised import Normalised
from pytest_lem.records.part import Json, Number
from pytest_lem.records.part import Part as _Part
from pytest_lem.records.quality import CycleQuality, Quality

SCHEMA_VERSION = "3.0"


class Energy(_Part):
    """Energy of a span. Null `gross_j` has its reason in the experiment's `nulls`.

    `crosscheck` has what further meters of a scope say: meter, scope, energy_j,
    uncertainty_j, difference_pct, reason. It is in no sum. `quality` has the points
    seen of those expected, and the largest gap between two of them.
    """

    gross_j: Number
    net_j: Number
    uncertainty_j: Number
    cpu_j: Number
    dram_j: Number
    per_device: list[Json]
    crosscheck: list[Json] = Field(default_factory=list)
    scope: list[str]
    method: str | None
    meter: str | None
    basis: str | None
    quality: Json | None = None
    net_uncertainty_j: Number = None
    idle_share: Number = None
    idle_state: str | None = None


class Tokens(_Part):
    """Integers counted by the engine; padding is what it computed on for nothing."""

    input: int
    output: int
    padding: int


class Drafts(_Part):
    """What became of drafted tokens in a pass, in calls that check them and tokens."""

    verify_calls: int | None
    drafted_tokens: int | None
    accepted_tokens: int | None


class Window(_Part):
    """One measured pass over the workload.

    `attribution` divides its energy over its requests: method, closure_pct, and
    `requests[].energy_attributed_j`, which nobody measured. `speculation` is null where
    nothing drafts tokens, or the engine does not count them. `scheduler` is what the
    engine's own scheduler told of its steps, null where it has none. `arrivals` is how
    requests were sent one by one, and whether the engine kept up; null where all were
    sent at once. `goodput` counts those that met the workload's `slo`, null without.
    `outcomes` counts requests by how they ended; `requests` are all that were sent.
    """

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
    attribution: Json | None = None
    speculation: Drafts | None = None
    scheduler: Json | None = None
    arrivals: Json | None = None
    goodput: Json | None = None
    outcomes: Json | None = None


class IdlePower(_Part):
    """Power without work: the state, how it was read, and how old it was when used.

    `uncertainty_w` is a 95 % half-width, `std_w` the standard deviation of the slices.
    `system_w` is what CPU and memory drew, null where no meter tells. `source` is
    `cached` for a reading of earlier, `validated` if a short new one agreed with it.
    """

    state: Literal["no_context", "context", "model_loaded"]
    power_w: FiniteFloat
    uncertainty_w: Number = None
    std_w: Number
    samples: int
    duration_s: FiniteFloat
    method: str
    age_s: FiniteFloat
    per_device: list[Json] = Field(default_factory=list)
    system_w: Number = None
    source: Literal["fresh", "cached", "validated"] = "fresh"
    flags: list[str] = Field(default_factory=list)


class Idle(IdlePower):
    """The idle power that net energy is without, and all that was read beside it.

    `states` has each state's reading, `after` that of the loaded model after the
    windows. `power_w` is the mean of the readings before and after, by their duration,
    and `drift_pct` by how much the second is above the first. `spread_w` is half the
    range of all idle powers seen.
    """

    spread_w: Number = None
    after: IdlePower | None = None
    drift_pct: Number = None
    states: dict[str, IdlePower | None] = Field(default_factory=dict)


class WarmupRecord(_Part):
    """How the engine was brought to a steady state; `durations_s` of its iterations."""

    policy: str
    converged: bool | None
    cv: Number
    iterations: int
    duration_s: FiniteFloat
    energy_j: Number
    durations_s: list[FiniteFloat] = Field(default_factory=list)


class ErrorRecord(_Part):
    """A failure by its kind."""

    kind: str
    type: str
    message: str
    detail: str


class Cycle(_Part):
    """One complete repetition of an experiment.

    A cycle that was run again is there for each attempt, all but the last as `rerun`.
    `stamps_path` has the times of each of its requests, null unless they were kept,
    and so has `raw_path` what each process did. `aggregation` says of a cycle that was
    made from such files which processes are in it, and what was checked.
    That of a search for a rate is a `trial`, with the rate, its requests and verdict.
    `latency` is over the requests that the metrics of latency are of, null without any.
    `goodput` is over the same requests, null where they have no limits to meet.
    """

    index: int
    attempt: int = 0
    status: Literal["complete", "failed", "interrupted", "rerun", "trial"]
    trial: Json | None = None
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
    latency: Json | None = None
    goodput: Json | None = None
    quality: CycleQuality = CycleQuality()
    metrics: dict[str, Number]
    timing: dict[str, Number]
    machine: Json = Field(default_factory=dict)
    prompts: Json
    flags: list[str]
    nulls: dict[str, str]
    stamps_path: str | None = None
    raw_path: str | None = None
    aggregation: Json | None = None


class SummaryRecord(_Part):
    """One metric over the complete cycles.

    `within_cycle_std` is the spread of windows in a cycle, `between_cycles_std` that of
    cycles without what windows add to it; null where windows do not have the metric,
    or nothing was repeated.
    """

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
    within_cycle_std: Number = None
    between_cycles_std: Number = None


class ExperimentRecord(_Part):
    """Everything known about one experiment.

    `notes` has what had better be said otherwise of its settings, each with the
    parameter's path, a message, a suggestion and its severity. `search` has the rate
    at which the cycles were measured, where one was searched for, and how sure it is.
    `stopping` says what precision was asked of the cycles and what they reached; null
    where their number was fixed. `cold` where each cycle is the first pass after a load
    in a fresh process; `load` of a cycle has what that took. `normalised` is no metric,
    and in no gate.
    """

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
    quality: Quality = Quality()
    normalised: Normalised = Normalised()
    flags: list[str]
    nulls: dict[str, str]
    gate: Json | None
    excluded: list[Json]
    notes: list[Json] = Field(default_factory=list)
    search: Json | None = None
    stopping: Json | None = None
    cold: bool = False


class Plan(_Part):
    """What was to run and what ran: order, seed and the cycles in the order run.

    `seed` drew the order, and is from a setting or from what the plan has in it. The
    gaps are those asked for; `timing.gap_s` of a cycle is the one before it.
    `resumed` has the times at which the session was gone on with after it had ended.
    """

    order: str
    seed: int
    planned: int
    executed: list[Json]
    skipped: list[Json]
    seed_source: Literal["setting", "plan"] = "setting"
    gap_s: FiniteFloat = 0.0
    cycle_gap_s: FiniteFloat = 0.0
    resumed: list[str] = Field(default_factory=list)


class Session(_Part):
    """The pytest session that made the record.

    `warnings_ignored` says that it was told to keep quiet about `notes`. `profile` has
    the name of that in force, and the values of it that no other setting overrode.
    `isolation` is what had a process of its own: a cycle, a spec or a backend (none).
    """

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
    warnings_ignored: bool = False
    profile: Json | None = None
    isolation: Literal["cycle", "spec", "none"] = "cycle"


def _of_this_major(version: object) -> object:
    if isinstance(version, str) and not version.startswith("3."):
        msg = f"schema version {version!r} cannot be read here, only 3.x"
        raise ValueError(msg)
    return version


Version = Annotated[
    str, BeforeValidator(_of_this_major), Field(pattern=r"^3\.[0-9]{1,4}$")
]


class Record(_Part):
    """A report: the JSON file of a session.

    `timeseries` names the files that its meters' readings were written to, by paths
    relative to the report, which is whole without them.
    """

    schema_version: Version = SCHEMA_VERSION
    session: Session
    environment: Json
    plan: Plan
    experiments: list[ExperimentRecord]
    timeseries: Json | None = None


class _Versioned(BaseModel):
    schema_version: Version = SCHEMA_VERSION


def read(text: bytes) -> Record:
    """The record that a report holds; raises ValidationError where it is none.

    Keys of a newer minor version are kept as they are; of the present one, only
    those that are known or named `x_*` are valid.
    """
    minor = _Versioned.model_validate_json(text).schema_version.partition(".")[2]
    newer = int(minor) > int(SCHEMA_VERSION.partition(".")[2])
    return Record.model_validate_json(text, context={"newer": newer})
