"""What a million token stamps cost in memory: of the worker, and of pytest.

    python benchmarks/perf/perf_memory.py [--tokens 1000000] [--open]

A session with the fake engine stamps so many tokens in one latency window, in a process
of its own; its peak of resident memory (VmHWM), and that of its worker, are compared
with those of a session of a thousand tokens. With half of the tokens it is done again:
memory that is linear in them has no more than twice the cost. Status 1 says that a
limit was missed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT_MB = 300.0
OUTPUT_TOKENS = 500
LEAST_REQUESTS = 20
# What a large window costs beside its tokens, such as libraries that it needs.
SLACK_MB = 20.0
_PATHS = [one for one in [os.environ.get("PYTHONPATH")] if one]

# Ids as a real vocabulary has them: Python keeps those below 257 only once.
ENGINE = """
from dataclasses import replace
from pytest_lem.engines.fake import FakeEngine

class WideEngine(FakeEngine):
    def collect(self, *asked):
        found = super().collect(*asked)
        found["completions"] = [
            replace(one, output_ids=[i + 100_000 for i in one.output_ids])
            for one in found["completions"]
        ]
        return found
"""
CONFTEST = """
import json
from pathlib import Path
from pytest_lem.engines import Capabilities
from pytest_lem.engines.registry import EngineEntry

PEAKS = {}

def pytest_lem_register_engines(registry):
    able = Capabilities(streaming="tokens", open_loop=True)
    entry = EngineEntry(name="wide", target="wide:WideEngine", capabilities=able)
    registry.add(entry)

def peak_mb(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(one.split()[1]) for one in lines if one.startswith("VmHWM")) / 1e3

def pytest_lem_cycle_finish(item, cycle):
    PEAKS["worker"] = peak_mb(cycle.worker["pid"])
    PEAKS["stamps"] = cycle.latency["itl_ms"]["n"] + cycle.latency["requests"]

def pytest_sessionfinish(session):
    PEAKS["pytest"] = peak_mb("self")
    Path("peaks.json").write_text(json.dumps(PEAKS))
"""
TEST = """
import pytest

@pytest.mark.lem(requests={requests}, output_tokens={tokens}, input_tokens=4,
    streaming=True, streaming_warmup_requests=0, batch_size=8, {load} slo={slo})
def test_it(lem):
    lem()
"""


def peaks(requests: int, *, sent: bool) -> dict[str, float]:
    """Megabytes at the peak of pytest and its worker, and the tokens that it stamped.

    `sent` has requests sent at their times, which keeps them in flight together.
    """
    load = 'arrivals={"rate_rps": 5000.0, "mode": "constant"},' if sent else ""
    slo = {"itl_p95_ms": 5.0, "ttft_ms": 50.0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "wide.py").write_text(ENGINE)
        (path / "conftest.py").write_text(CONFTEST)
        test = TEST.format(requests=requests, tokens=OUTPUT_TOKENS, load=load, slo=slo)
        (path / "test_it.py").write_text(test)
        (path / "pytest.ini").write_text("[pytest]\n")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["--lem-backend=wide", "--lem-meter=fake", "--lem-idle=off"]
        command += ["--lem-cycles=1", "--lem-windows=1", "--lem-warmup=off"]
        command += ["--lem-set=wide.prefill_s=0", "--lem-set=wide.token_s=0"]
        command += ["--lem-json=r.json", "--lem-csv=r.csv"]
        done = subprocess.run(
            command,
            cwd=path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([folder, *_PATHS])},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        found: dict[str, float] = json.loads((path / "peaks.json").read_text())
        return found


def main() -> int:
    """Measure and print; status 0 if both processes keep to the limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--open", action="store_true", help="requests have times")
    asked = parser.parse_args()
    requests = max(2 * LEAST_REQUESTS, asked.tokens // OUTPUT_TOKENS)
    bare = peaks(LEAST_REQUESTS, sent=asked.open)
    half = peaks(requests // 2, sent=asked.open)
    whole = peaks(requests, sent=asked.open)
    limit_mb = LIMIT_MB * (whole["stamps"] - bare["stamps"]) / 1e6
    held = True
    for name in ("worker", "pytest"):
        cost_mb, half_mb = whole[name] - bare[name], half[name] - bare[name]
        linear = cost_mb <= 2 * half_mb + SLACK_MB
        good = cost_mb <= limit_mb and linear
        held &= good
        print(
            f"{name}: {cost_mb:.1f} MB more than {bare[name]:.1f} MB for "
            f"{whole['stamps']:.0f} stamps, {half_mb:.1f} MB for {half['stamps']:.0f}: "
            f"{'within' if good else 'above'} {limit_mb:.0f} MB"
            + ("" if linear else ", and not linear")
        )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
