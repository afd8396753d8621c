"""What sampling costs a launch-bound loop on a GPU, and what a mark costs anywhere.

    python benchmarks/perf/perf_sampler.py [--pairs 40] [--json FILE]

1. A mark: what the worker does around each batch, stamps included, the engine not.
2. The sampler: a process of its own decodes with many small kernels, bound by their
   launches; pair by pair, in turn, without and with the meter sampling in this one.
   Runs differ by several percent on a shared host, whatever samples, so that the bound
   is held against a finer comparison: in each run with the sampler, the pace of the
   loop while the meter is polled (and 2 ms after) against that between the polls.

The first needs nothing; the second an NVIDIA GPU and torch, and status 2 says that they
are missing.
"""

import argparse
import statistics
import sys
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gpu_bench import Load, Tap, the_gpu, told
from paired import Verdict, finish, judge, note, pairs

from pytest_lem.engines import Completion, GenerateOptions
from pytest_lem.machine.gpu import Gpu
from pytest_lem.meters.metering import Metering
from pytest_lem.worker.serve import Worker

SLOWER_LIMIT_PCT = 0.5
MARK_LIMIT_US = 10.0
MARKS, PASSES = 10_000, 50
PAUSE_S = 0.2
SETTLE_S = 1.5
AFTERMATH_S = 0.002


class Nothing:
    """An engine that does none of the work, so that only the marks are left."""

    def prepare(self, prompts, options):
        """A batch for each prompt."""
        return list(prompts)

    def synchronize(self):
        """There is no device."""

    def run(self, batch, options):
        """No work."""

    def collect(self, batches, outcomes, spans, options):
        """A completion without tokens for each batch."""
        done = [
            Completion(
                input_tokens=1,
                output_ids=[],
                finish_reason="length",
                sent_ns=sent_ns,
                ended_ns=ended_ns,
                token_ns=[],
            )
            for sent_ns, ended_ns in spans
        ]
        return {
            "completions": done,
            "batches": [1] * len(done),
            "padding_tokens": 0,
            "memory": {},
            "native": {},
        }


def mark_us() -> list[float]:
    """Microseconds that a batch costs the worker beside the engine, pass by pass."""
    worker, options = Worker(-1, -1), GenerateOptions(output_tokens=1)
    passes = (worker._measure(Nothing(), [[0]] * MARKS, options) for _ in range(PASSES))
    return [one.duration_s / MARKS * 1e6 for one in passes]


def slower_pct(times: list[tuple[float, float]]) -> list[float]:
    """By how many percent the second of each pair took longer."""
    return [100 * (second / first - 1) for first, second in times]


def lost_pct(stamps_s: Sequence[float], polls: Sequence[tuple[float, float]]) -> float:
    """How much of a run its polls cost, by the pace of the loop during and between.

    `stamps_s` has the start and the end of each token. A poll counts until a little
    after its end; the pace in between is what the loop would have kept.
    """
    start_s, end_s = stamps_s[0], stamps_s[-1]
    busy = [
        (max(a, start_s), min(b, end_s))
        for a, b in merged([(a, b + AFTERMATH_S) for a, b in polls])
        if a < end_s and b > start_s
    ]
    busy_s = sum(b - a for a, b in busy)
    done = sum(_tokens(stamps_s, b) - _tokens(stamps_s, a) for a, b in busy)
    quiet_s = end_s - start_s - busy_s
    pace = (len(stamps_s) - 1 - done) / quiet_s
    return 100 * (busy_s - done / pace) / (end_s - start_s)


def merged(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans in order of time, those that meet made one."""
    found: list[tuple[float, float]] = []
    for start, end in spans:
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _tokens(stamps_s: Sequence[float], time_s: float) -> float:
    """Tokens done by then, with the part of the one that was under way."""
    place = min(max(bisect_right(stamps_s, time_s), 1), len(stamps_s) - 1)
    before_s, after_s = stamps_s[place - 1], stamps_s[place]
    return place - 1 + (time_s - before_s) / (after_s - before_s)


@dataclass(slots=True)
class Loop:
    """The decoding process and how it is timed: without and with the sampler."""

    one: Gpu
    load: Load
    tokens: int = 200
    launches_per_s: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)

    def last_for(self, seconds: float) -> None:
        """Decode as many tokens as take about so long."""
        for _ in range(3):
            stamps_s = self._run()
            lasted_s = stamps_s[-1] - stamps_s[0]
            self.tokens = max(1, round(self.tokens * seconds / lasted_s))

    def _run(self) -> list[float]:
        answer = self.load.ask(str(self.tokens))
        stamps_s = [stamp / 1e9 for stamp in answer["token_ns"]]
        self.launches_per_s.append(answer["launches"] / (stamps_s[-1] - stamps_s[0]))
        return stamps_s

    def without_s(self) -> float:
        """One run while nothing samples."""
        time.sleep(PAUSE_S)
        stamps_s = self._run()
        return stamps_s[-1] - stamps_s[0]

    def with_s(self) -> float:
        """One run beside the sampler; notes what the polls cost it."""
        tap = Tap(self.one)
        with Metering([tap]):
            time.sleep(SETTLE_S)
            stamps_s = self._run()
        self.lost.append(lost_pct(stamps_s, tap.polls))
        return stamps_s[-1] - stamps_s[0]


def sampler_cost(
    one: Gpu, number: int, seconds: float
) -> tuple[list[Verdict], dict[str, object], dict[str, list[float]]]:
    """What sampling costs the loop: poll against pause, and run against run."""
    with Load(one, "decode") as load:
        loop = Loop(one, load)
        loop.last_for(seconds)
        note(f"{number} pairs of about {seconds:g} s without and with the sampler")
        times = pairs(loop.without_s, loop.with_s, number)
    limit = SLOWER_LIMIT_PCT
    verdicts = [
        judge("lost, polls to pauses", loop.lost, unit="%", limit=limit),
        judge("slower, run to run", slower_pct(times), unit="%", limit=limit),
    ]
    facts = {
        **told(one),
        "launches per second": f"{statistics.median(loop.launches_per_s):.0f}",
        "tokens per run": loop.tokens,
    }
    samples = {
        "without_s": [first for first, _ in times],
        "with_s": [second for _, second in times],
        "lost_pct": loop.lost,
    }
    return verdicts, facts, samples


def main() -> int:
    """Measure, show; 0 only if the bounds hold, 2 where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=40, help="default: 40")
    parser.add_argument("--seconds", type=float, default=2.0, help="default: 2")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    marks = mark_us()
    marked = judge("a mark of the worker", marks, unit="us", limit=MARK_LIMIT_US)
    print(
        f"{marked.name}: {marked.value:.2f} us, bound {MARK_LIMIT_US:g}: {marked.says}"
    )
    one = the_gpu("torch")
    costs, facts, samples = sampler_cost(one, arguments.pairs, arguments.seconds)
    verdicts = [marked, *costs]
    finish(
        verdicts,
        facts=facts,
        samples={**samples, "mark_us": marks},
        path=arguments.json,
    )
    held = all(one.says == "pass" for one in (marked, costs[0]))
    return int(not held or costs[1].says == "fail")


if __name__ == "__main__":
    sys.exit(main())
