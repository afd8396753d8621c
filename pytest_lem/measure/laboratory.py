"""The laboratory: engines in their workers, meters beside them, and their care."""

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from pytest_lem.engines import Generation, Loaded
from pytest_lem.engines.registry import Registry
from pytest_lem.errors import Timeout
from pytest_lem.measure.conditions import Conditions
from pytest_lem.measure.cooling import cool_down, hottest, rest
from pytest_lem.measure.idle import IdleReading
from pytest_lem.measure.idle_states import CycleIdle, IdleStates
from pytest_lem.measure.prompting import Tokenised
from pytest_lem.measure.residue import Leftovers
from pytest_lem.meters.metering import Metering
from pytest_lem.records.extended import UNREAD, Residue
from pytest_lem.records.record import Window
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.experiment import Experiment
from pytest_lem.worker.client import EngineClient, start_worker
from pytest_lem.worker.devices import environment_for
from pytest_lem.worker.launch.containers import Containers
from pytest_lem.worker.launch.ranks import ranks_of
from pytest_lem.worker.pool import EnginePool
from pytest_lem.workload.models import Model, resolve

# Readings are kept this long, so that a night of campaigns does not fill the memory.
KEEP_S = 3600.0


Asked = dict[str, dict[str, tuple[str, int, int]]]
"""Of each spec the hashes of its prompts, with experiment, cycle and window."""

Heard = list[tuple[Sequence[Sequence[int]], Generation]]
"""Prompts as token ids, and what came of them, pass by pass."""


class Progress(Protocol):
    """Told what is going on; shows it, or not."""

    def phase(self, name: str, estimate_s: float | None = None) -> None:
        """A new phase begins; it takes about `estimate_s` where that is known."""

    def tick(self) -> None:
        """Time has passed in the phase."""

    def clear(self) -> None:
        """Nothing is going on any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooled:
    """A wait for a temperature: whether it was reached, and how long that took."""

    in_time: bool
    wait_s: float


@dataclass(slots=True, kw_only=True)
class Bench:
    """One loaded engine: shared by the experiments of its spec within a pass.

    With less isolation it lives longer: it was loaded in pass `load_turn`, this is
    `turn`, and in another one `idle` is read anew.
    `start_s` is how long its worker took to start. `heard` takes what a test's own loop
    generates, while one of its windows is open.
    """

    client: EngineClient
    spec: EngineSpec
    model: Model
    loaded: Loaded
    start_s: float
    load_start_s: float
    load_end_s: float
    load_turn: int
    turn: int
    devices: frozenset[str]
    idle: IdleReading | None = None
    texts: dict[str, Tokenised] = field(default_factory=dict)
    heard: Heard | None = None


class Laboratory:
    """Owns the one live engine and the meters of a session.

    Everything that takes time happens here; `wait` is how it sleeps.
    """

    def __init__(
        self,
        *,
        metering: Metering,
        conditions: Conditions,
        registry: Registry,
        log_directory: Path,
        progress: Progress,
        containers: Containers | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.metering = metering
        self.conditions = conditions
        self.progress = progress
        self.wait = wait
        self._idle = IdleStates(
            metering,
            conditions.idle,
            conditions.gpus,
            cache=conditions.idle_cache,
            wait=self._wait_ticking,
            show=progress.phase,
        )
        self._registry = registry
        self._containers = containers
        self._logs = log_directory
        self._leftovers = Leftovers(
            gpus=conditions.gpus, limit_mb=conditions.residual_memory_mb, wait=wait
        )
        self._pool = EnginePool(self._leftovers.unloaded)
        self._bench: Bench | None = None
        self._start_s = 0.0
        self._before: tuple[str, int] | None = None
        # A session that is gone on with keeps the logs it had.
        self._started = len([*log_directory.glob("worker-*.log")])
        self.asked: Asked = {}

    def bench(self, experiment: Experiment, turn: int) -> Bench:
        """The loaded engine of an experiment in that pass; starts one where needed.

        Another spec, or another pass, closes the engine before, unless there is less
        isolation: a cycle begins with a fresh one. So does timing tokens, where an
        engine does that apart.
        """
        spec, timeout_s = experiment.spec, experiment.effort.timeout
        key = self._key(experiment, turn)
        client = self._pool.get(key, lambda: self._start(spec, timeout_s))
        held, self._bench = self._bench, None
        if held is not None and held.client is client and held.spec == spec:
            self._bench = self._in_turn(held, turn)
        else:
            if held is not None and held.client is client:
                self._unload(client)
            streams = self._streams(experiment)
            self._bench = self._load(client, spec, turn, {"streams": streams})
        return self._bench

    def pause(self, experiment: Experiment, turn: int) -> float:
        """Wait as long as is asked after what ran before; how many seconds that was.

        An engine that is not the next one's too is closed first.
        """
        before, self._before = self._before, (experiment.id, turn)
        gap_s = self.conditions.gaps.before(turn, before[1] if before else None)
        if before == self._before or not gap_s:
            return 0.0
        if not self._pool.holds(self._key(experiment, turn)):
            self.drop()
        self.progress.phase("gap", gap_s)
        self._wait_ticking(gap_s)
        return gap_s

    def rest_warm(self) -> float:
        """Wait as long as is asked after a warm-up; how many seconds that was."""
        floor_s = self.conditions.thermal_floor_s
        if floor_s:
            self.progress.phase("thermal floor", floor_s)
            self._wait_ticking(floor_s)
        return floor_s

    def can_stamp(self, spec: EngineSpec) -> bool:
        """Whether the engine says that it can tell when it made its tokens."""
        return self._registry.find(spec.backend).capabilities.streaming != "none"

    def check_thermal(self) -> None:
        """Raises MeterError where a temperature is asked for that no meter tells."""
        policy = self.conditions.thermal
        if policy is not None:
            self.metering.start()
            hottest(self.metering, policy.devices, wait=self.wait)

    def cool(self) -> Cooled | None:
        """Wait for the temperature that a cycle begins at; None if none was asked."""
        policy = self.conditions.thermal
        if policy is None:
            return None
        self.metering.start()
        start_s = time.monotonic()
        in_time = cool_down(
            self.metering, policy, wait=self._wait_ticking, show=self.progress.phase
        )
        return Cooled(in_time=in_time, wait_s=time.monotonic() - start_s)

    def start_over(self, windows: Sequence[Window]) -> None:
        """Close the engine and let the GPUs rest that were too hot in these windows."""
        self.drop()
        rest(self.metering, windows, wait=self._wait_ticking, show=self.progress.phase)

    def back_off(self, seconds: float) -> None:
        """Wait without an engine before a failed cycle is tried again."""
        self.drop()
        self.progress.phase("before another try", seconds)
        self._wait_ticking(seconds)

    def idle_of(self, bench: Bench) -> CycleIdle:
        """Idle power for a cycle, with its model loaded and before its windows."""
        work = bench.spec.model_dump(mode="json")
        bench.idle = self._idle.loaded(bench.devices, bench.idle, work)
        return self._idle.of_cycle(bench.idle)

    def idle_after(self, bench: Bench, idle: CycleIdle) -> None:
        """Idle power after the windows of the cycle, where the policy wants it."""
        self._idle.read_after(idle, bench.devices)

    def drop(self) -> None:
        """Close the engine: after a failure it is never used again."""
        self._bench = None
        self._pool.drop()

    @property
    def problems(self) -> list[str]:
        """What went wrong while engines were closed, a line each."""
        return self._pool.problems

    def residue(self, spec: EngineSpec) -> Residue:
        """What engines of that spec left in the GPUs' memory after their unload."""
        return self._leftovers.found.get(spec.model_dump_json(), UNREAD)

    def close(self) -> None:
        """End the engine in order, then the meters."""
        try:
            self._bench = None
            self._pool.close()
            self._close_containers()
        finally:
            self.metering.stop()

    def kill(self) -> None:
        """End everything at once."""
        self._pool.kill()
        self._close_containers()
        self.metering.stop()

    def _close_containers(self) -> None:
        if self._containers is not None:
            self._pool.problems += self._containers.close()

    def _start(self, spec: EngineSpec, timeout_s: float) -> EngineClient:
        entry, gpus = self._registry.find(spec.backend), self.conditions.gpus
        ranks = ranks_of(entry.capabilities, spec.engine, gpus)
        self.metering.start()
        self.metering.trim(time.monotonic() - KEEP_S)
        self._started += 1
        self._idle.before_worker()
        self.progress.phase(f"start {spec.backend}")
        asked_s = time.monotonic()
        client = start_worker(
            entry.target,
            name=entry.name,
            python=self.conditions.pythons.get(entry.name, sys.executable),
            environment=environment_for(gpus if ranks is None else None),
            log_path=self._logs / f"worker-{self._started}.log",
            limits=replace(
                self.conditions.limits, load_s=timeout_s, generate_s=timeout_s
            ),
            on_beat=lambda _beat: self.progress.tick(),
            ranks=ranks,
            containers=self._containers_of(entry.name),
        )
        self._start_s = time.monotonic() - asked_s
        try:
            shares_context = entry.capabilities.shares_context
            self._idle.with_worker(client, shares_context=shares_context)
        except BaseException:
            client.kill()
            raise
        return client

    def _key(self, experiment: Experiment, turn: int) -> str:
        """Equal where a cycle may have the process of the one before."""
        spec, streams = experiment.spec, self._streams(experiment)
        able = self._registry.find(spec.backend).capabilities
        if self.conditions.isolation == "none":
            ranks = ranks_of(able, spec.engine, self.conditions.gpus)
            return f"{spec.backend}:{streams}:{ranks}"
        own = turn if self.conditions.isolation == "cycle" else ""
        return f"{own}:{streams}:{spec.model_dump_json()}"

    def _in_turn(self, held: Bench, turn: int) -> Bench:
        """The engine as it is; what was read of it in another pass is old."""
        if held.turn != turn:
            held.turn, held.idle = turn, None
            self.metering.trim(time.monotonic() - KEEP_S)
        return held

    def _unload(self, client: EngineClient) -> None:
        """Make room in a process for the engine of another spec."""
        try:
            client.unload()
        except BaseException:
            self.drop()
            raise
        if problem := self._leftovers.unloaded(client):
            self._pool.problems.append(problem)

    def _containers_of(self, backend: str) -> Containers | None:
        found = self._containers
        return found if found is not None and backend in found else None

    def _streams(self, experiment: Experiment) -> bool:
        """Whether tokens are timed by an engine that has to know before its load."""
        able = self._registry.find(experiment.spec.backend).capabilities
        wanted = experiment.workload.streaming or self.conditions.phases
        return wanted and able.streams_apart

    def _load(
        self,
        client: EngineClient,
        spec: EngineSpec,
        turn: int,
        more: Mapping[str, object],
    ) -> Bench:
        self.progress.phase(f"load {spec.model}")
        try:
            model = resolve(spec.model, backend=spec.backend)
            self._leftovers.before(client)
            start_s = time.monotonic()
            loaded = client.load({**self._wire(spec, model), **more})
        except BaseException:
            self.drop()
            raise
        end_s, devices = time.monotonic(), self._metered(loaded.devices)
        on_gpu = devices != {"cpu"}
        self._leftovers.loaded(client, spec.model_dump_json(), on_gpu=on_gpu)
        return Bench(
            client=client,
            spec=spec,
            model=model,
            loaded=loaded,
            start_s=self._start_s,
            load_turn=turn,
            turn=turn,
            load_start_s=start_s,
            load_end_s=end_s,
            devices=devices,
        )

    def _wire(self, spec: EngineSpec, model: Model) -> dict[str, object]:
        return {
            "model": model.path,
            "weights": model.weights,
            "weights_seed": model.seed,
            "revision": spec.revision,
            "trust_remote_code": spec.trust_remote_code,
            "precision": spec.precision,
            "adapter": spec.adapter,
            "engine": dict(spec.engine),
            "strict": self.conditions.strict,
            "gpus_expected": len(self.conditions.gpus),
        }

    def _metered(self, used: Sequence[str]) -> frozenset[str]:
        """Whose energy counts: the GPUs of the run, or none if the CPU does it all.

        An engine that runs on other nodes as well names its GPUs by UUID.
        """
        if named := {one for one in used if one.startswith(("GPU-", "MIG-"))}:
            return frozenset(named)
        if all(device.startswith("cpu") for device in used):
            return frozenset({"cpu"})
        return frozenset(self.conditions.gpus)

    def _wait_ticking(self, seconds: float) -> None:
        """Wait, and show it; raises Timeout as soon as the session's time is over."""
        end_s, over_s = time.monotonic() + seconds, self.conditions.limits.ends_at_s
        while (left_s := end_s - (now_s := time.monotonic())) > 0:
            if over_s is not None and now_s >= over_s:
                raise Timeout(
                    "a wait is not over, and the time of the session is; "
                    "--lem-session-timeout sets the limit"
                )
            self.wait(min(0.5, left_s, math.inf if over_s is None else over_s - now_s))
            self.progress.tick()
