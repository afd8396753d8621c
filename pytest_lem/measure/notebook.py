"""The notebook of a cycle: what was found so far."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pytest_lem.machine.processes import Tenancy
from pytest_lem.measure.computing import Watched
from pytest_lem.measure.idle_states import CycleIdle
from pytest_lem.measure.laboratory import Bench, Cooled
from pytest_lem.measure.warmup import WarmupOutcome
from pytest_lem.measure.window import Pass
from pytest_lem.records.quality import CycleQuality
from pytest_lem.spec.experiment import Experiment

TRIALS = 32_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmed:
    """A warm-up that has run and is not yet costed."""

    outcome: WarmupOutcome
    start_s: float
    end_s: float


@dataclass(slots=True, kw_only=True)
class Notebook:
    """What a cycle has found so far; what is in it when it fails is kept.

    `attempt` counts from 0 how often it was run again; None where it cannot be.
    `trial` counts from 0 where it is one of a search, which repeats no prompts.
    `prompts` says how they were made, where the workload does not. `log_probabilities`
    are those of the first energy window's outputs, by the place of their request.
    """

    experiment: Experiment
    index: int
    started_at: str
    attempt: int | None = None
    trial: int | None = None
    bench: Bench | None = None
    warmed: Warmed | None = None
    idle: CycleIdle | None = None
    passes: list[Pass] = field(default_factory=list)
    tokenise_s: float | None = None
    tokenise_ms: float | None = None
    cut: int | None = None
    chat_template_sha256: str | None = None
    outputs_path: str | None = None
    stamps_path: str | None = None
    flags: set[str] = field(default_factory=set)
    nulls: dict[str, str] = field(default_factory=dict)
    prompts: dict[str, Any] | None = None
    thermal_wait_s: float | None = None
    gap_s: float | None = None
    thermal_floor_s: float | None = None
    tenancies: dict[str, Tenancy] = field(default_factory=dict)
    neighbours: dict[str, str | None] = field(default_factory=dict)
    watched: Watched = field(default_factory=Watched)
    quality: CycleQuality = field(default_factory=CycleQuality)
    log_probabilities: dict[int, list[float]] = field(default_factory=dict)

    @property
    def draw(self) -> int:
        """The number that its prompts are drawn by; cycles have those below."""
        return self.index if self.trial is None else TRIALS + self.trial

    @property
    def energy_passes(self) -> list[Pass]:
        """The passes whose energy counts; those of latency stamp each token."""
        return [one for one in self.passes if one.kind == "energy"]

    def note_cooling(self, cooled: Cooled | None) -> None:
        """Take in the wait for a temperature, if one was asked for."""
        if cooled is not None:
            self.thermal_wait_s = cooled.wait_s
            if not cooled.in_time:
                self.flags.add("thermal_wait_timeout")


def now() -> str:
    """The wall clock, as a label."""
    return datetime.now(UTC).astimezone().isoformat(timespec="milliseconds")
