"""How well energy between two instants is known, on a recorded trace of a GPU.

    python benchmarks/perf/perf_timeline.py FILE [--spans 10000] [--json FILE]

Compares the energy of spans of random phase with a reference: the long-run mean power
of a steady matrix product (lengths up to a fifth above the one named), or the integral
of the driver's power samples, a second sensor path of the same GPU. Beside it stands
the usual way, the difference of two reads of the counter.
"""

import argparse
import json
import random
import statistics
import sys
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from pytest_lem.meters.trace import read_trace

Span = tuple[float, float]
Joules = Callable[[float, float], float]

SHORTEST_PHASE_S = 0.145


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure against its bounds, in percent.

    `unmoved` is the same against the samples as they were stamped, without the lag.
    """

    name: str
    least: float
    most: float
    value: float
    unmoved: float | None
    two_point: float | None
    n: int

    @property
    def holds(self) -> bool:
        """Whether it lies within its bounds, against both references."""
        told = [self.value] + ([] if self.unmoved is None else [self.unmoved])
        return all(self.least <= value <= self.most for value in told)


class Trace:
    """A recorded trace, and the three ways to the energy of a span of it."""

    def __init__(self, path: Path) -> None:
        trace = read_trace(path)
        track = trace.tracks[0]
        self.timeline = track.timeline()
        self.marks = trace.marks
        self.meta = trace.meta
        ring = [(one.after_s, one.ring_w) for one in track.ring]
        self._times = [time_s for time_s, _ in ring]
        self._powers = [power_w for _, power_w in ring]
        parts = ((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(ring))
        self._totals = [0.0, *accumulate(parts)]
        self._seen = [one.after_s for one in track.counter]
        self._counts = [one.energy_j for one in track.counter]
        self.lag_s: float = self.timeline.describe()["ring"]["lag_s"] or 0.0
        first_s = max(self._times[0], track.counter[3].after_s)
        last_s = min(self._times[-1] - self.lag_s, track.counter[-3].before_s)
        self.overlap: Span = (first_s, last_s)

    def ring_j(self, start_s: float, end_s: float) -> float:
        """The integral of the driver's samples, as they were stamped."""
        return self._total_j(end_s) - self._total_j(start_s)

    def moved_ring_j(self, start_s: float, end_s: float) -> float:
        """The same, with the stamps moved by the lag."""
        return self.ring_j(start_s + self.lag_s, end_s + self.lag_s)

    def _total_j(self, time_s: float) -> float:
        left = min(bisect_right(self._times, time_s), len(self._times) - 1) - 1
        past_s = time_s - self._times[left]
        length_s = self._times[left + 1] - self._times[left]
        rise_w = (self._powers[left + 1] - self._powers[left]) * past_s / length_s
        return self._totals[left] + past_s * (self._powers[left] + rise_w / 2)

    def two_point_j(self, start_s: float, end_s: float) -> float:
        """What two reads of the counter differ by."""
        first, last = (bisect_right(self._seen, t) - 1 for t in (start_s, end_s))
        return self._counts[last] - self._counts[first]

    def energy_j(self, start_s: float, end_s: float) -> float:
        """What the timeline says."""
        energy_j = self.timeline.energy(start_s, end_s).energy_j
        assert energy_j is not None
        return energy_j


def drawn(within: Span, lengths_s: Span, count: int, draw: random.Random) -> list[Span]:
    """Spans of a length between those two, anywhere within."""
    spans = []
    for _ in range(count):
        long_s = draw.uniform(*lengths_s)
        start_s = draw.uniform(within[0], within[1] - long_s)
        spans.append((start_s, start_s + long_s))
    return spans


def errors(energy_j: Joules, reference_j: Joules, spans: Sequence[Span]) -> list[float]:
    """By how many percent each span is off the reference, in order of size."""
    return sorted(100 * abs(energy_j(*span) / reference_j(*span) - 1) for span in spans)


def p95(values: Sequence[float]) -> float:
    """The 95th percentile of sorted values."""
    return values[min(round(0.95 * len(values)), len(values) - 1)]


def steady(trace: Trace, count: int, draw: random.Random) -> list[Figure]:
    """Against the long-run mean of a load that stays the same."""
    marks = [mark for mark in trace.marks if mark.name == "gemm_steady"]
    within = (marks[0].start_s + 1.0, marks[-1].end_s)
    mean_w = trace.energy_j(*within) / (within[1] - within[0])

    def mean_j(start_s: float, end_s: float) -> float:
        return mean_w * (end_s - start_s)

    figures = []
    for length_s, most in ((1.0, 1.0), (5.0, 0.4)):
        spans = drawn(within, (length_s, 1.2 * length_s), count, draw)
        figures.append(
            Figure(
                name=f"steady load, {length_s:g} s: p95",
                least=0.0,
                most=most,
                value=p95(errors(trace.energy_j, mean_j, spans)),
                unmoved=None,
                two_point=p95(errors(trace.two_point_j, mean_j, spans)),
                n=count,
            )
        )
    return figures


def compared(
    trace: Trace, spans: Sequence[Span], name: str, bounds: dict[str, float]
) -> list[Figure]:
    """Median, and p95 where it has a bound, against the integral of the samples."""
    ours = errors(trace.energy_j, trace.moved_ring_j, spans)
    unmoved = errors(trace.energy_j, trace.ring_j, spans)
    usual = errors(trace.two_point_j, trace.moved_ring_j, spans)
    told = {"median": statistics.median, "p95": p95}
    return [
        Figure(
            name=f"{name}: {what}",
            least=0.0,
            most=most,
            value=told[what](ours),
            unmoved=told[what](unmoved),
            two_point=told[what](usual),
            n=len(spans),
        )
        for what, most in bounds.items()
    ]


def phases(trace: Trace) -> list[Figure]:
    """The high and low phases of square waves."""
    figures = []
    for name, most in (("square_high", 5.0), ("square_low", 8.0)):
        spans = [
            (mark.start_s, mark.end_s)
            for mark in trace.marks
            if mark.name == name and mark.end_s - mark.start_s > SHORTEST_PHASE_S
        ]
        figures += compared(trace, spans, f"{name}, 0.15 s and more", {"median": most})
    return figures


def covered(trace: Trace, spans: Sequence[Span], reference_j: Joules) -> float:
    """Share of spans whose half-width reaches to the reference."""
    told = [(trace.timeline.energy(*span), reference_j(*span)) for span in spans]
    reached = [abs(one.energy_j - true) <= one.uncertainty_j for one, true in told]
    return 100 * sum(reached) / len(reached)


def figures(trace: Trace, count: int) -> list[Figure]:
    """All of them, from one seed."""
    draw = random.Random(0)  # noqa: S311 - repeatable, no secret
    found = steady(trace, count, draw)
    bounds = {
        0.2: {"median": 1.0, "p95": 9.0},
        1.0: {"median": 0.5, "p95": 3.0},
    }
    coverage = []
    for length_s in (0.2, 1.0, 5.0):
        spans = drawn(trace.overlap, (length_s, length_s), count, draw)
        name = f"anywhere, {length_s:g} s"
        found += compared(trace, spans, name, bounds.get(length_s, {}))
        coverage.append(
            Figure(
                name=f"{name}: within the uncertainty",
                least=93.0,
                most=99.0,
                value=covered(trace, spans, trace.moved_ring_j),
                unmoved=covered(trace, spans, trace.ring_j),
                two_point=None,
                n=count,
            )
        )
    return [*found, *phases(trace), *coverage]


def show(trace: Trace, found: Sequence[Figure]) -> None:
    """Print the table."""
    print(
        f"{trace.meta.get('gpu', 'unknown GPU')}, driver "
        f"{trace.meta.get('driver', 'unknown')}; {trace.overlap[0]:.1f} to "
        f"{trace.overlap[1]:.1f} s; the samples lag by {trace.lag_s * 1e3:.1f} ms"
    )
    columns = ("ours", "unmoved", "2 reads", "bound")
    print(f"{'[%]':44}" + "".join(f"{name:>9}" for name in columns) + "      n")
    for one in found:
        bound = f"{one.least:g}-{one.most:g}" if one.least else f"{one.most:g}"
        cells = [
            "-" if value is None else f"{value:.2f}"
            for value in (one.value, one.unmoved, one.two_point)
        ]
        row = "".join(f"{cell:>9}" for cell in [*cells, bound])
        print(f"{one.name:44}{row}{one.n:>7}  {'pass' if one.holds else 'fail'}")


def main() -> int:
    """Reckon, show, and say by the exit status whether all bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace", type=Path, metavar="FILE")
    parser.add_argument("--spans", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    trace = Trace(arguments.trace)
    found = figures(trace, arguments.spans)
    show(trace, found)
    if arguments.json is not None:
        rows = [{**asdict(one), "holds": one.holds} for one in found]
        data = {"trace": dict(trace.meta), "lag_s": trace.lag_s, "figures": rows}
        arguments.json.write_text(json.dumps(data, indent=2) + "\n")
    return int(not all(one.holds for one in found))


if __name__ == "__main__":
    sys.exit(main())
