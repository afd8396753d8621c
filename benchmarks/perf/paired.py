"""Two things measured in turn, pair by pair, and what their differences say."""

import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeVar

RESAMPLES = 10_000
LEVEL = 0.95
CALM_SHARE = 0.15
PATIENCE_S = 60.0

T = TypeVar("T")
_LOADS: list[float] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A figure, a median unless it says so, with its interval against a limit."""

    name: str
    unit: str
    value: float
    ci_low: float
    ci_high: float
    limit: float
    n: int

    @property
    def says(self) -> Literal["pass", "fail", "inconclusive"]:
        """On which side of the limit the interval lies."""
        if self.ci_high <= self.limit:
            return "pass"
        return "fail" if self.ci_low > self.limit else "inconclusive"


def pairs(
    first: Callable[[], float],
    second: Callable[[], float],
    count: int,
    *,
    calm: bool = True,
) -> list[tuple[float, float]]:
    """`count` values of each, taken in turn; every other pair begins with the second.

    What drifts (clocks, temperature, other processes) then meets both alike. Waits for
    other processes to leave the processors alone, unless `calm` is False.
    """
    found = []
    for k in range(count):
        if calm:
            wait_for_calm()
        noted_load()
        if k % 2:
            b, a = second(), first()
        else:
            a, b = first(), second()
        found.append((a, b))
    return found


def noted_load() -> None:
    """Take down how busy the machine is, for `machine`."""
    _LOADS.append(os.getloadavg()[0])


def wait_for_calm() -> None:
    """Return when other processes leave the processors alone, or after a minute."""
    deadline_s = time.monotonic() + PATIENCE_S
    share = 1.0
    while share > CALM_SHARE and time.monotonic() < deadline_s:
        before = _processor_ticks()
        time.sleep(0.5)
        busy, total = (b - a for a, b in zip(before, _processor_ticks(), strict=True))
        share = busy / total


def _processor_ticks() -> tuple[int, int]:
    """Ticks in which the processors worked, and all there were."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    ticks = [int(field) for field in fields]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def judge(name: str, values: Sequence[float], *, unit: str, limit: float) -> Verdict:
    """The median of these values, its percentile bootstrap interval, and the limit."""
    return _resampled(name, values, statistics.median, unit=unit, limit=limit)


def judge_slow(
    name: str, values: Sequence[float], *, unit: str, limit: float
) -> Verdict:
    """The 95th percentile of these values, as `judge` does with their median."""

    def slow(some: Sequence[float]) -> float:
        return statistics.quantiles(some, n=20)[-1]

    return _resampled(name, values, slow, unit=unit, limit=limit)


def judge_one(name: str, value: float, *, unit: str, limit: float) -> Verdict:
    """One figure, which is not repeated, and the limit."""
    return Verdict(
        name=name, unit=unit, value=value, ci_low=value, ci_high=value, limit=limit, n=1
    )


def judge_quiet(
    name: str, found: Sequence[tuple[float, float]], *, limit: float
) -> Verdict:
    """How much larger the second's tenth percentile is, in percent, and the limit.

    Disturbance only adds: the least of many turns are those that had little of it.
    """

    def above_pct(some: Sequence[tuple[float, float]]) -> float:
        first, second = (
            statistics.quantiles(side, n=10)[0] for side in zip(*some, strict=True)
        )
        return 100 * (second / first - 1)

    return _resampled(name, found, above_pct, unit="%", limit=limit)


def _resampled(
    name: str,
    sample: Sequence[T],
    statistic: Callable[[Sequence[T]], float],
    *,
    unit: str,
    limit: float,
) -> Verdict:
    draw = random.Random(0)  # noqa: S311 - repeatable, no secret
    drawn = sorted(
        statistic(draw.choices(sample, k=len(sample))) for _ in range(RESAMPLES)
    )
    cut = round((1 - LEVEL) / 2 * RESAMPLES)
    return Verdict(
        name=name,
        unit=unit,
        value=statistic(sample),
        ci_low=drawn[cut],
        ci_high=drawn[-1 - cut],
        limit=limit,
        n=len(sample),
    )


def show(verdicts: Sequence[Verdict], facts: dict[str, object]) -> None:
    """Print facts and verdicts as a table."""
    for name, value in facts.items():
        print(f"{name}: {value}")
    print(f"{'':38}{'value':>10}{'95 % interval':>21}{'limit':>9}   n  verdict")
    for one in verdicts:
        interval = f"{one.ci_low:.2f} to {one.ci_high:.2f}"
        print(
            f"{one.name + ' [' + one.unit + ']':38}{one.value:>10.2f}{interval:>21}"
            f"{one.limit:>9.2f}{one.n:>4}  {one.says}"
        )


def finish(
    verdicts: Sequence[Verdict],
    *,
    facts: dict[str, object],
    samples: dict[str, list[float]],
    path: Path | None,
) -> int:
    """Show everything, write it as JSON if asked; 1 if a limit is exceeded."""
    facts = {**machine(), **facts}
    show(verdicts, facts)
    if path is not None:
        told = [{**asdict(one), "verdict": one.says} for one in verdicts]
        data = {"facts": facts, "verdicts": told, "samples": samples}
        path.write_text(json.dumps(data, indent=2) + "\n")
    return int(any(one.says == "fail" for one in verdicts))


def machine() -> dict[str, object]:
    """Where and on what the figures were taken, and how busy it was."""
    loads = _LOADS or [os.getloadavg()[0]]
    return {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_1min": f"{min(loads):.2f} to {max(loads):.2f}, own work included",
        "platform": platform.platform(),
    }


def note(text: str) -> None:
    """Say on standard error how far it is."""
    print(text, file=sys.stderr, flush=True)
