"""What measuring costs: the engine under the harness against a bare `generate` loop.

    python benchmarks/perf/perf_harness.py [--pairs 30] [--meter auto] [--json FILE]

Two questions, on transformers with the tiny model on the CPU:

1. How much longer does a window take than the same calls of `model.generate` in a
   script without pytest-lem? Both engines stay loaded in processes of their own and
   take turns; the meters sample while it is the harness's turn.
2. How much of one core does the pytest process use while a window runs? A session
   with one long window is watched from outside.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from harness_bench import Case, window_against_loop
from paired import Verdict, finish, judge, note

MODEL = "synthetic:llama-tiny"
LONGER_LIMIT_PCT = 3.0
CORE_LIMIT_PCT = 2.0
INPUT_TOKENS, OUTPUT_TOKENS, CALLS = 64, 64, 8
CYCLES = 5
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

SESSION = """\
import pytest

@pytest.mark.lem(input_tokens={inputs}, output_tokens={outputs}, requests={requests})
def test_long_window(lem):
    lem()
"""


def core_share(meter: str, window_s: float, call_s: float) -> tuple[Verdict, Any]:
    """Processor time of the pytest process in long windows, in percent of one core."""
    requests = max(1, round(window_s / call_s))
    note(f"{CYCLES} cycles with a window of about {window_s:.0f} s, meter {meter}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_long.py").write_text(
            SESSION.format(
                inputs=INPUT_TOKENS, outputs=OUTPUT_TOKENS, requests=requests
            )
        )
        (folder / "pytest.ini").write_text("[pytest]\n")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["--lem-backend=transformers", f"--lem-model={MODEL}"]
        command += [f"--lem-meter={meter}", "--lem-idle=off", "--lem-warmup=off"]
        command += ["--lem-windows=1", f"--lem-cycles={CYCLES}"]
        command += ["--lem-set=transformers.device=cpu", "--lem-json=report.json"]
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        used = watch(process)
        if process.returncode:
            sys.exit(f"the session ended with {process.returncode}")
        report = json.loads((folder / "report.json").read_text())
    windows = [
        (window["start_s"], window["start_s"] + window["duration_s"])
        for cycle in report["experiments"][0]["cycles"]
        for window in cycle["windows"]
    ]
    shares = [100 * between(used, a, b) / (b - a) for a, b in windows]
    verdict = judge(
        f"pytest's share of a core, {meter}", shares, unit="%", limit=CORE_LIMIT_PCT
    )
    return verdict, {"share_pct": shares, "window_s": [b - a for a, b in windows]}


def watch(process: "subprocess.Popen[bytes]") -> list[tuple[float, float]]:
    """(instant, processor seconds so far) of a process until it ends."""
    stdout = process.stdout
    assert stdout is not None
    reading = threading.Thread(target=stdout.read, daemon=True)
    reading.start()
    used = []
    stat = Path(f"/proc/{process.pid}/stat")
    while process.poll() is None:
        fields = stat.read_text().rpartition(")")[2].split()
        used.append(
            (time.monotonic(), (int(fields[11]) + int(fields[12])) / TICKS_PER_S)
        )
        time.sleep(0.05)
    reading.join()
    return used


def between(used: list[tuple[float, float]], start_s: float, end_s: float) -> float:
    """Processor seconds between two instants: the samples just outside them."""
    before = max(one for one in used if one[0] <= start_s)
    after = min(one for one in used if one[0] >= end_s)
    return after[1] - before[1]


def main() -> int:
    """Measure, show, and say by the exit status whether the limits hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=30, help="default: 30")
    parser.add_argument("--meter", default="auto", help="as --lem-meter; default: auto")
    parser.add_argument(
        "--window", type=float, default=20.0, metavar="S", help="default: 20"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    case = Case(
        backend="transformers",
        model=MODEL,
        calls=CALLS,
        input_tokens=INPUT_TOKENS,
        output_tokens=OUTPUT_TOKENS,
        section={"device": "cpu"},
    )
    longer, times = window_against_loop(
        case, meter=arguments.meter, number=arguments.pairs, limit=LONGER_LIMIT_PCT
    )
    call_s = min(times["window_s"]) / CALLS
    share, shares = core_share(arguments.meter, arguments.window, call_s)
    middle = arguments.pairs // 2
    return finish(
        [longer, share],
        facts={
            "meters": ", ".join(times["meters"]) or "none",
            "bare_loop_s": round(sorted(times["bare_s"])[middle], 4),
            "window_s": round(sorted(times["window_s"])[middle], 4),
        },
        samples={
            "bare_s": times["bare_s"],
            "window_s": times["window_s"],
            "core_share_pct": shares["share_pct"],
        },
        path=arguments.json,
    )


if __name__ == "__main__":
    sys.exit(main())
