"""What a grid of 10,000 experiments costs to collect, and its plan to print.

    python benchmarks/perf/perf_collect.py [--pairs 5] [--points 10000] [--json FILE]

pytest collects as many trivial tests, and the points of a YAML campaign, in turn;
seconds are the processor's, memory is the process's, and what the second has more is
judged. No plugin is loaded but this one.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from paired import finish, judge, note, pairs, wait_for_calm

MORE_S, MORE_MB, PLAN_S = 10.0, 300.0, 15.0
TRIVIAL = """
import pytest

@pytest.mark.parametrize("number", range({points}))
def test_trivial(number):
    pass
"""
CAMPAIGN = """
base_config:
  model_name: synthetic:llama-tiny
  backend: transformers
  max_output_tokens: 64
vary:
  random_seed: [{seeds}]
  batching: {{batch_size: [1, 2, 4, 8, 16]}}
  transformers: {{use_cache: [true, false], attn_implementation: [sdpa, eager]}}
"""


def run(folder: Path, *arguments: str) -> tuple[float, float]:
    """Seconds of work and most megabytes of a session, which must end well."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "pytest_lem.plugin", *arguments]
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{(folder / 'output').read_text()}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> int:
    """Measure, show, and say by the exit status whether the limits hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="default: 5")
    parser.add_argument("--points", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    points = arguments.points - arguments.points % 20
    memory: dict[str, list[float]] = {"trivial": [], "campaign": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "test_trivial.py").write_text(TRIVIAL.format(points=points))
        seeds = ", ".join(map(str, range(points // 20)))
        (folder / "grid.lem.yaml").write_text(CAMPAIGN.format(seeds=seeds))

        def collect(kind: str, file: str) -> float:
            took_s, most_mb = run(folder, "--collect-only", file)
            memory[kind].append(most_mb)
            return took_s

        def trivial() -> float:
            return collect("trivial", "test_trivial.py")

        def campaign() -> float:
            return collect("campaign", "grid.lem.yaml")

        run(folder, "--collect-only", "grid.lem.yaml")  # compile and cache
        memory["campaign"].clear()
        note(f"{arguments.pairs} pairs of collections of {points}")
        found = pairs(trivial, campaign, arguments.pairs)
        plans = []
        for _ in range(arguments.pairs):
            wait_for_calm()
            plans.append(run(folder, "--lem-plan", "grid.lem.yaml")[0])
    more_mb = [b - a for a, b in zip(*memory.values(), strict=True)]
    more_s = [b - a for a, b in found]
    return finish(
        [
            judge("collecting, over trivial tests", more_s, unit="s", limit=MORE_S),
            judge("memory, over trivial tests", more_mb, unit="MB", limit=MORE_MB),
            judge("printing the plan", plans, unit="s", limit=PLAN_S),
        ],
        facts={"points": points},
        samples={
            "trivial_s": [a for a, _ in found],
            "campaign_s": [b for _, b in found],
            "plan_s": plans,
            **{f"{kind}_mb": values for kind, values in memory.items()},
        },
        path=arguments.json,
    )


if __name__ == "__main__":
    sys.exit(main())
