"""What the scripts that need a GPU share: the GPU, its load, raw readings, a table."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from pytest_lem.machine import gpu
from pytest_lem.machine.gpu import Gpu
from pytest_lem.meters import Device, Reading, Telemetry
from pytest_lem.meters.nvml import open_meter
from pytest_lem.worker.devices import environment_for, inherited, select

CANNOT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure, and its bound where it has one."""

    name: str
    value: float
    unit: str
    n: int
    limit: float | None = None

    @property
    def holds(self) -> bool:
        """Whether it is within its bound."""
        return self.limit is None or self.value <= self.limit


def the_gpu(*needed: str) -> Gpu:
    """The first visible GPU; without it or a module, say so and end with status 2."""
    reason = gpu.absence()
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if reason is None and missing:
        reason = f"not installed: {', '.join(missing)}"
    if reason is not None:
        print(f"cannot run here: {reason}", file=sys.stderr)
        sys.exit(CANNOT)
    here = {one.uuid: one for one in gpu.discover()}
    models = {uuid: one.name for uuid, one in here.items()}
    return here[select(models, environ=os.environ, asked=None)[0]]


class Load:
    """`gpu_load.py` in its process, warm."""

    def __init__(self, one: Gpu, *arguments: str) -> None:
        script = Path(__file__).with_name("gpu_load.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            env={**inherited(os.environ), **environment_for([one.uuid])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit("the load has ended")
        return line

    def ask(self, line: str = "") -> Any:
        """Send a line and wait for the answer."""
        print(line, file=self._process.stdin, flush=True)
        return json.loads(self._line())

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Tap:
    """The NVML meter of one GPU: keeps every reading, and when it was polled."""

    def __init__(self, one: Gpu) -> None:
        self._meter = open_meter("", [one])
        self.name, self.version = self._meter.name, self._meter.version
        self.basis, self.accuracy = self._meter.basis, self._meter.accuracy
        self.readings: list[Reading] = []
        self.polls: list[tuple[float, float]] = []

    @property
    def period_s(self) -> float:
        """The counter's period."""
        return self._meter.period_s

    def devices(self) -> list[Device]:
        """The GPU."""
        return self._meter.devices()

    def poll(self) -> tuple[list[Reading], list[Telemetry], float]:
        """What is new, noted."""
        began_s = time.monotonic()
        told = self._meter.poll()
        self.polls.append((began_s, time.monotonic()))
        self.readings += told[0]
        return told

    def facts(self) -> dict[str, Any]:
        """The meter's own."""
        return self._meter.facts()

    def close(self) -> None:
        """Let go of the meter."""
        self._meter.close()

    def counter(self) -> "Counter":
        """The reads of the energy counter so far."""
        return Counter(
            [(r.after_s, r.energy_j) for r in self.readings if r.energy_j is not None]
        )

    def ring(self) -> "Ring":
        """The driver's power samples so far."""
        return Ring(
            [(r.after_s, r.ring_w) for r in self.readings if r.ring_w is not None]
        )


class Counter:
    """Raw reads of a counter: (seconds, joules) in order of time."""

    def __init__(self, reads: Sequence[tuple[float, float]]) -> None:
        self.edges = [b for a, b in pairwise(reads) if b[1] > a[1]]

    def energy_j(self, start_s: float, end_s: float) -> float:
        """What two reads differ by, as everybody takes it."""
        places = (bisect_right(self.edges, (t, float("inf"))) for t in (start_s, end_s))
        first, last = (self.edges[place - 1][1] for place in places)
        return last - first

    def mean_w(self, start_s: float, end_s: float) -> float:
        """Mean power between the outermost edges within a span."""
        within = [edge for edge in self.edges if start_s <= edge[0] <= end_s]
        (first_s, first_j), (last_s, last_j) = within[0], within[-1]
        return (last_j - first_j) / (last_s - first_s)


class Ring:
    """Power samples: (seconds, watts) in order of time."""

    def __init__(self, samples: Sequence[tuple[float, float]]) -> None:
        self._times = [time_s for time_s, _ in samples]
        self._powers = [power_w for _, power_w in samples]
        parts = ((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(samples))
        self._totals = [0.0, *accumulate(parts)]

    def energy_j(self, start_s: float, end_s: float) -> float:
        """The integral of the samples by trapezoids."""
        if not self._times[0] <= start_s <= end_s <= self._times[-1]:
            sys.exit("the driver's power samples do not hold the span")
        return self._total_j(end_s) - self._total_j(start_s)

    def _total_j(self, time_s: float) -> float:
        left = min(bisect_right(self._times, time_s), len(self._times) - 1) - 1
        past_s = time_s - self._times[left]
        length_s = self._times[left + 1] - self._times[left]
        rise_w = (self._powers[left + 1] - self._powers[left]) * past_s / length_s
        return self._totals[left] + past_s * (self._powers[left] + rise_w / 2)

    def means_w(self, start_s: float, end_s: float) -> list[float]:
        """Mean power of each whole second."""
        seconds = range(int(end_s - start_s))
        return [self.energy_j(start_s + k, start_s + k + 1) for k in seconds]


def finish(
    figures: Sequence[Figure], facts: dict[str, object], path: Path | None
) -> int:
    """Print facts and figures, write them as JSON if asked; 1 if a bound is broken."""
    for name, value in facts.items():
        print(f"{name}: {value}")
    print(f"{'':52}{'value':>10}{'bound':>10}      n")
    for one in figures:
        bound = "-" if one.limit is None else f"{one.limit:.2f}"
        says = "" if one.limit is None else "pass" if one.holds else "FAIL"
        label = f"{one.name} [{one.unit}]"
        row = f"{label:52}{one.value:>10.2f}{bound:>10}{one.n:>7}  {says}"
        print(row.rstrip())
    if path is not None:
        rows = [{**asdict(one), "holds": one.holds} for one in figures]
        data = {"facts": facts, "figures": rows}
        path.write_text(json.dumps(data, indent=2) + "\n")
    return int(not all(one.holds for one in figures))


def told(one: Gpu) -> dict[str, object]:
    """The GPU, for the head of a table."""
    return {"gpu": one.name, "driver": one.driver_version}
