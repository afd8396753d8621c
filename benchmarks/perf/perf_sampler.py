"""What sampling costs a launch-bound loop on a GPU, and what a mark costs anywhere.

    python benchmarks/perf/perf_sampler.py [--pairs 40] [--json FILE]

1. A mark: what the worker does around each batch, stamps included, the engine not.
2. The sampler: a process of its own decodes with many small kernels, bound by their
   launches; pair by pair, in turn, without and with the meter sampling in this one.

The first needs nothing; the second an NVIDIA GPU and torch, and status 2 says that they
are missing.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

from gpu_bench import Load, the_gpu, told
from paired import Verdict, finish, judge, note, pairs

from pytest_lem.engines import Completion, GenerateOptions
from pytest_lem.machine.gpu import Gpu
from pytest_lem.meters.metering import open_meters
from pytest_lem.worker.serve import Worker

SLOWER_LIMIT_PCT = 0.5
MARK_LIMIT_US = 10.0
MARKS, PASSES = 10_000, 50
PAUSE_S = 0.2


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


def sampler_cost(
    one: Gpu, number: int, seconds: float
) -> tuple[Verdict, dict[str, object], dict[str, list[float]]]:
    """The loop's time with the sampler over that without, pair by pair."""
    with Load(one, "decode") as load:
        tokens = 200
        for _ in range(3):
            tokens = max(
                1, round(tokens * seconds / load.ask(str(tokens))["duration_s"])
            )
        rates: list[float] = []

        def without_s() -> float:
            time.sleep(PAUSE_S)
            answer = load.ask(str(tokens))
            rates.append(answer["launches"] / answer["duration_s"])
            return float(answer["duration_s"])

        def with_s() -> float:
            with open_meters(["nvml"], gpus=[one]):
                time.sleep(PAUSE_S)
                return float(load.ask(str(tokens))["duration_s"])

        note(f"{number} pairs of about {seconds:g} s without and with the sampler")
        times = pairs(without_s, with_s, number)
    verdict = judge(
        "decode loop slower by sampling",
        slower_pct(times),
        unit="%",
        limit=SLOWER_LIMIT_PCT,
    )
    facts = {
        **told(one),
        "launches per second": f"{statistics.median(rates):.0f}",
        "tokens per run": tokens,
    }
    samples = {
        "without_s": [first for first, _ in times],
        "with_s": [second for _, second in times],
    }
    return verdict, facts, samples


def main() -> int:
    """Measure, show; 0 only if both bounds hold, 2 where there is no GPU."""
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
    slower, facts, samples = sampler_cost(one, arguments.pairs, arguments.seconds)
    verdicts = [marked, slower]
    finish(
        verdicts,
        facts=facts,
        samples={**samples, "mark_us": marks},
        path=arguments.json,
    )
    return int(any(one.says != "pass" for one in verdicts))


if __name__ == "__main__":
    sys.exit(main())
