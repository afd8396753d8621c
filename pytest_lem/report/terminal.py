"""What people read on the terminal while a session lasts: header, plan, headline.

These functions compute and return text; the front door prints it.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.records.result import Metric, Result
from pytest_lem.report.table import GUESSES, spread, visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What a session is about to do, for header and plan.

    `open_ended` where cycles end by their precision, so that `steps` are the most;
    `left_out` points of grids cannot be. `pilots` says of how many cycles time and
    energy are known from earlier sessions.
    """

    version: str
    backends: Sequence[str]
    meter: str
    gpus: Sequence[str]
    experiments: int
    steps: int
    estimate_s: float
    order: str
    seed: int
    reports: Sequence[str]
    gaps: str = "no gaps"
    references: Sequence[str] = ()
    profile: str = ""
    search: str = ""
    open_ended: bool = False
    left_out: int = 0
    resumed: Sequence[str] = ()
    pilots: tuple[int, int] = (0, 0)
    estimate_j: float | None = None


def header(outline: Outline) -> list[str]:
    """The lines below the number of collected items."""
    gpus = ", ".join(outline.gpus) or "none"
    lines = [
        (
            f"lem {outline.version}: {', '.join(outline.backends)}; "
            f"meter {outline.meter}; GPUs: {gpus}"
        ),
        (
            f"lem plan: {_counts(outline)} "
            f"{_how(outline)}, "
            f"about {duration(outline.estimate_s)}"
        ),
    ]
    lines += [*_resumed_lines(outline), *_search_lines(outline)]
    if outline.reports:
        lines.append(f"lem reports: {', '.join(outline.reports)}")
    if outline.references:
        lines.append(f"lem reference: {', '.join(map(visible, outline.references))}")
    return lines


def _how(outline: Outline) -> str:
    """Order, gaps, seed, and the profile if there is one."""
    profile = f", profile {outline.profile}" if outline.profile else ""
    return f"{outline.order}, {outline.gaps}, seed {outline.seed}{profile}"


def _counts(outline: Outline) -> str:
    """How many experiments and cycles."""
    most = "at most " if outline.open_ended else ""
    without = f" ({outline.left_out} left out of grids)" if outline.left_out else ""
    return f"{outline.experiments} experiments{without}, {most}{outline.steps} cycles"


def plan_lines(
    outline: Outline, steps: Sequence[tuple[str, int]], limit: int = 40
) -> list[str]:
    """The plan for `--lem-plan`: counts, estimates and the order of the cycles."""
    counts = _counts(outline)
    shown = [
        f"  {k + 1:>4}  cycle {c + 1}  {visible(n)}" for k, (n, c) in enumerate(steps)
    ]
    rest = len(shown) - limit
    return [
        (f"lem plan: {counts}, {_how(outline)}; nothing is run"),
        f"estimated time: {duration(outline.estimate_s)} {_source(outline, steps)}",
        *_search_lines(outline),
        f"estimated energy: {_estimated_energy(outline, steps)}",
        *shown[:limit],
        *([f"  ... and {rest} more"] if rest > 0 else []),
    ]


def _source(outline: Outline, steps: Sequence[tuple[str, int]]) -> str:
    """What the estimate of the time rests on."""
    timed = outline.pilots[0]
    if not timed:
        return "(a guess from settings)"
    guessed = f", {left} by a guess" if (left := len(steps) - timed) else ""
    return f"({timed} cycles as in earlier sessions{guessed})"


def _estimated_energy(outline: Outline, steps: Sequence[tuple[str, int]]) -> str:
    """The joules that are known, and of how many cycles they are not."""
    if outline.estimate_j is None:
        return "unknown (no experiment of this plan was measured before)"
    metered = outline.pilots[1]
    without = f"; of {left} nothing is known" if (left := len(steps) - metered) else ""
    return (
        f"{joules(outline.estimate_j)} for loads, warm-ups and windows ({metered} "
        f"cycles as in earlier sessions{without})"
    )


def joules(energy_j: float) -> str:
    """Joules as people say them."""
    if energy_j < 1e4:
        return f"{energy_j:.3g} J"
    return (
        f"{energy_j / 1e3:.3g} kJ"
        if energy_j < 3.6e6
        else f"{energy_j / 3.6e6:.3g} kWh"
    )


def headline(result: Result) -> str:
    """The one number of a test, with its interval: for the line under `-v`."""
    name = "energy_per_output_token_j"
    metric: Metric = getattr(result, name)
    if not metric.exists:
        name = "output_throughput_tps"
        metric = getattr(result, name)
    if not metric.exists:
        return "nothing measured"
    estimated = "~" if name.startswith("energy") and _guessed(result) else ""
    cycles = f"{metric.n} cycle{'s' if metric.n != 1 else ''}"
    return f"{estimated}{metric:.4g} {metric.unit}{_half(metric)}, {cycles}"


def properties(result: Result) -> list[tuple[str, object]]:
    """The numbers for JUnit: each metric that exists, and the flags."""
    found: list[tuple[str, object]] = [
        (sys.intern(f"lem_{name}"), getattr(result, name).value)
        for name in METRICS
        if getattr(result, name).exists
    ]
    return [*found, ("lem_flags", " ".join(sorted(result.flags)))]


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _resumed_lines(outline: Outline) -> list[str]:
    """What of the plan an earlier session has done."""
    return [f"lem resume: {visible(line)}" for line in outline.resumed]


def _search_lines(outline: Outline) -> list[str]:
    """The trials that come before the cycles; nobody knows how many there will be."""
    if not outline.search:
        return []
    which = f"lem search: {outline.search}, before the cycles of each experiment"
    return [f"{which}; how many trials it takes is in no estimate"]


def _guessed(result: Result) -> bool:
    return bool(GUESSES & result.flags)


def _half(metric: Metric) -> str:
    return spread(metric.value, metric.low, metric.high)
