"""Idle power of a session in each state, and what of it a cycle uses."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, get_args

from pytest_lem.analysis.net import IdleWatts, drift_pct, half_range_w
from pytest_lem.measure.idle import (
    IdlePolicy,
    IdleReading,
    State,
    impossible,
    joined,
    none_of,
    of_earlier,
    read_idle,
)
from pytest_lem.measure.idle_cache import IdleCache
from pytest_lem.meters.metering import Metering
from pytest_lem.records.record import Idle, IdlePower

STATES: tuple[State, ...] = get_args(State)
# A reading of earlier is made anew where a short one differs by more.
VALIDATED_DRIFT_PCT = 10.0

# What is said against a reading that is not kept for later.
_DOUBTS = {"gpu_busy_at_idle", "counter_ring_disagree"}


class Worker(Protocol):
    """A worker whose engine is not loaded yet."""

    def open_contexts(self) -> int:
        """Open a CUDA context on each of its GPUs; how many."""


@dataclass(slots=True, kw_only=True)
class CycleIdle:
    """The idle readings of a cycle; `after` follows its windows."""

    kind: State
    states: Mapping[State, IdleReading]
    after: IdleReading | None = None

    @property
    def chosen(self) -> IdleReading:
        """The reading in the state that net energy is without."""
        return self.states[self.kind]

    @property
    def drift_pct(self) -> float | None:
        """By how much idle power changed from the reading before to the one after."""
        before = self.states["model_loaded"]
        after_w = (
            self.after.record.power_w if self.after and self.after.record else None
        )
        later_w = before.check_w if after_w is None else after_w
        if before.record is None or later_w is None:
            return None
        return drift_pct(before.record.power_w, later_w)

    @property
    def flags(self) -> set[str]:
        """What the meters said against the readings that are subtracted."""
        used = [one.record for one in (self.chosen, self.after) if one and one.record]
        return {flag for record in used for flag in record.flags}

    def watts(self) -> IdleWatts | None:
        """What is subtracted; None where there is no reading."""
        record = self.record(self.chosen.ended_s)
        if record is None:
            return None
        return IdleWatts(
            power_w=record.power_w,
            uncertainty_w=record.uncertainty_w or 0.0,
            spread_w=record.spread_w or 0.0,
            state=record.state,
        )

    def record(self, now_s: float) -> Idle | None:
        """All of it, at its age when it is used."""
        power = self.chosen.used_at(now_s)
        if power is None:
            return None
        after = self.after.used_at(now_s) if self.after else None
        if after is not None and self.kind == "model_loaded":
            power = joined(power, after)
        seen_w = [one.record.power_w for one in self._readings() if one.record]
        checks_w = [one.check_w for one in self._readings() if one.check_w is not None]
        return Idle(
            **{name: getattr(power, name) for name in IdlePower.model_fields},
            spread_w=half_range_w([*seen_w, *checks_w]),
            after=after,
            drift_pct=self.drift_pct,
            states={name: one.used_at(now_s) for name, one in self.states.items()},
        )

    def reasons(self) -> dict[str, str]:
        """Why there is no reading, by its place in the record."""
        found = {f"idle.states.{name}": one.reason for name, one in self.states.items()}
        found["idle.after"] = self.after.reason if self.after else "not_read"
        return {path: reason for path, reason in found.items() if reason}

    def _readings(self) -> list[IdleReading]:
        return [*self.states.values(), *([self.after] if self.after else [])]


class IdleStates:
    """Reads idle power as a session goes on: bare, with a context, with each load.

    `no_context` and `context` are read once, at the first start of a worker, where
    GPUs are metered or that state is to be subtracted; `model_loaded` for each load.
    """

    def __init__(
        self,
        metering: Metering,
        policy: IdlePolicy,
        gpus: Collection[str],
        *,
        cache: IdleCache | None,
        wait: Callable[[float], None],
        show: Callable[[str, float], None],
    ) -> None:
        self._metering = metering
        self._policy = policy
        self._gpus = frozenset(gpus)
        self._cache = cache
        self._wait = wait
        self._show = show
        self._states: dict[State, IdleReading] = {}
        self._uses: Counter[State] = Counter()

    def before_worker(self) -> None:
        """Read `no_context`, if this is the first worker."""
        if "no_context" not in self._states:
            reason = self._unwanted("no_context")
            self._states["no_context"] = (
                self._obtain("no_context", self._gpus, settle_s=0.0)
                if reason is None
                else none_of(self._policy, "no_context", reason)
            )

    def with_worker(self, worker: Worker, *, shares_context: bool) -> None:
        """Open contexts and read `context`, until that has been done once.

        Where a meter only stands in for GPUs it is read without any.
        """
        known = self._states.get("context")
        if known is None or known.record is None:
            reason = self._unwanted("context")
            if reason is None and not shares_context:
                reason = "engine_opens_its_own_context"
            if reason is None and not worker.open_contexts() and not self._stands_in():
                reason = "no_cuda"
            self._states["context"] = (
                self._obtain("context", self._gpus, settle_s=self._policy.settle_s)
                if reason is None
                else none_of(self._policy, "context", reason)
            )

    def loaded(
        self,
        devices: Collection[str],
        known: IdleReading | None,
        work: Mapping[str, Any],
    ) -> IdleReading:
        """Power with a model loaded; the load's own reading stands if it was fresh."""
        if known is not None and self._policy.strategy == "fresh":
            return known
        reason = impossible(self._metering, self._policy)
        if reason is not None:
            return none_of(self._policy, "model_loaded", reason)
        settle_s = self._policy.settle_s
        return self._obtain("model_loaded", devices, settle_s=settle_s, work=work)

    def of_cycle(self, loaded: IdleReading) -> CycleIdle:
        """What a cycle uses, by its load's reading."""
        states = {**self._states, "model_loaded": loaded}
        return CycleIdle(
            kind=self._policy.kind, states={name: states[name] for name in STATES}
        )

    def read_after(self, idle: CycleIdle, devices: Collection[str]) -> None:
        """Read the loaded model once more, where it was read before the windows."""
        before = idle.states["model_loaded"].record
        if before is not None and self._policy.strategy == "fresh":
            settle_s, short_s = self._policy.settle_s, self._policy.short_s
            idle.after = self._read("model_loaded", devices, settle_s, short_s)

    def _unwanted(self, state: State) -> str | None:
        """Why a state without a model is not read."""
        reason = impossible(self._metering, self._policy)
        if reason is None and not self._metering.tells_gpus(self._gpus):
            reason = None if self._policy.kind == state else "no_gpu_metered"
        return reason

    def _stands_in(self) -> bool:
        return self._metering.basis in ("replayed", "synthetic")

    def _obtain(
        self,
        state: State,
        devices: Collection[str],
        *,
        settle_s: float,
        work: Mapping[str, Any] | None = None,
    ) -> IdleReading:
        """A new reading, or one of earlier if the policy allows."""
        cache, policy = self._cache, self._policy
        if cache is None or policy.strategy == "fresh":
            return self._read(state, devices, settle_s, policy.seconds)
        key = {"state": state, "work": work, "meters": self._metering.telling(devices)}
        if found := cache.load(key):
            kept = self._validated(of_earlier(*found), state, devices, settle_s)
            if kept is not None:
                return kept
        reading = self._read(state, devices, settle_s, policy.seconds)
        if reading.record is not None and not _DOUBTS & {*reading.record.flags}:
            cache.save(key, reading.record)
        return reading

    def _validated(
        self, kept: IdleReading, state: State, devices: Collection[str], settle_s: float
    ) -> IdleReading | None:
        """The reading of earlier, checked if it is time; None if it holds no more."""
        policy, uses = self._policy, self._uses[state]
        self._uses[state] += 1
        if policy.strategy == "cached" or uses % policy.every:
            return kept
        check = self._read(state, devices, settle_s, policy.short_s).record
        if check is None or kept.record is None:
            return None
        drift = drift_pct(kept.record.power_w, check.power_w)
        if drift is None or abs(drift) > VALIDATED_DRIFT_PCT:
            return None
        return kept.checked(check.power_w)

    def _read(
        self, state: State, devices: Collection[str], settle_s: float, seconds: float
    ) -> IdleReading:
        place = "" if state == "model_loaded" else f" {state}"
        self._show(f"idle{place}", settle_s + seconds)
        self._wait(settle_s)
        return read_idle(
            self._metering,
            self._policy,
            devices,
            state=state,
            seconds=seconds,
            wait=self._wait,
        )
