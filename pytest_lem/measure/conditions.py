"""What holds for every experiment of a session, for the laboratory to keep to."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pytest_lem.machine.peaks import Peak
from pytest_lem.measure.attributing import REQUEST_ROWS
from pytest_lem.measure.cooling import ThermalPolicy
from pytest_lem.measure.idle import IdlePolicy
from pytest_lem.measure.idle_cache import IdleCache
from pytest_lem.spec.gaps import NO_GAPS, Gaps
from pytest_lem.worker.client import Limits
from pytest_lem.workload.held_out import HeldOut

Isolation = Literal["cycle", "spec", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What holds for every experiment of a session.

    `gpus` are those of the run, MIG instances among them; `whole_gpus` are the GPUs
    that these are or are parts of. `beside` is how many other workers of pytest -n
    measure on the same machine. `bandwidth_bytes_per_s` is the peak of the memory of
    all of them, None where one of them is not known.
    `pythons` are those of backends that are not run by this one.
    `phases`: energy windows ask for token stamps too. `request_rows`: a window of more
    requests does not list them one by one. `residual_memory_mb` is what an unloaded
    engine may hold. `caching_varied` are the backends whose experiments differ in
    prefix caching. `flops` is how operations are counted, `torch_profile` where
    profiles go, `save_outputs` texts and `save_stamps` times of requests, `save_raw`
    what each process did, `held_out` is the text that models are judged by, `peaks` are
    the GPUs' by their id. `max_failed_pct` is how
    many requests of a window may fail.
    `limits` are those of workers but for the steps that an experiment limits itself.
    `isolation` says what has a process of its own: each engine spec in each pass
    (`cycle`), each spec (`spec`), or each backend (`none`).
    `gaps` pass between experiments, `thermal_floor_s` after each warm-up.
    """

    idle: IdlePolicy
    gpus: Sequence[str]
    pythons: Mapping[str, str] = field(default_factory=dict)
    phases: bool = False
    request_rows: int = REQUEST_ROWS
    residual_memory_mb: float = 2048.0
    caching_varied: Collection[str] = ()
    flops: str = "auto"
    torch_profile: Path | None = None
    save_outputs: Path | None = None
    save_stamps: Path | None = None
    save_raw: Path | None = None
    held_out: HeldOut | None = None
    peaks: Mapping[str, Peak] = field(default_factory=dict)
    idle_cache: IdleCache | None = None
    strict: bool = False
    carbon_intensity_g_per_kwh: float | None = None
    pue: float = 1.0
    warmup_unconverged: str = "warn"
    max_uncertainty_pct: float = 1.0
    max_failed_pct: float = 5.0
    throttle: str = "warn"
    throttle_reruns: int = 2
    thermal: ThermalPolicy | None = None
    thermal_floor_s: float = 0.0
    gaps: Gaps = NO_GAPS
    isolation: Isolation = "cycle"
    whole_gpus: Sequence[str] = ()
    beside: int = 0
    require_exclusive: bool = False
    power_limits_w: Mapping[str, float] = field(default_factory=dict)
    bandwidth_bytes_per_s: float | None = None
    limits: Limits = field(default_factory=Limits)
