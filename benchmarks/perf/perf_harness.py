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
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from paired import Verdict, finish, judge, note, pairs

from pytest_lem.engines import GenerateOptions
from pytest_lem.engines.registry import Registry
from pytest_lem.meters.opening import open_meters
from pytest_lem.worker.client import EngineClient, Limits, start_worker
from pytest_lem.worker.devices import environment_for
from pytest_lem.workload.models import resolve

MODEL = "synthetic:llama-tiny"
LONGER_LIMIT_PCT = 3.0
CORE_LIMIT_PCT = 2.0
INPUT_TOKENS, OUTPUT_TOKENS, CALLS = 64, 64, 8
PAUSE_S = 0.3  # the threads of one engine spin for a while after their last work
CYCLES = 5
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

SESSION = """\
import pytest

@pytest.mark.lem(input_tokens={inputs}, output_tokens={outputs}, requests={requests})
def test_long_window(lem):
    lem()
"""


def prompts(seed: int) -> list[list[int]]:
    """Equally long prompts of plain bytes, new for each seed."""
    draw = random.Random(seed)  # noqa: S311 - repeatable, no secret
    return [[draw.randint(32, 126) for _ in range(INPUT_TOKENS)] for _ in range(CALLS)]


class Bare:
    """The script without pytest-lem, in a process of its own."""

    def __init__(self, path: str, pad_id: int) -> None:
        script = Path(__file__).with_name("bare_generate.py")
        self._pad_id = pad_id
        self._process = subprocess.Popen(
            [sys.executable, str(script), path],
            env={**os.environ, **environment_for(None)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, asked: list[list[int]]) -> dict[str, Any]:
        """Seconds of the loop, and a hash of what came out."""
        request = {
            "prompts": asked,
            "output_tokens": OUTPUT_TOKENS,
            "pad_token_id": self._pad_id,
        }
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        print(json.dumps(request), file=stdin, flush=True)
        answer = stdout.readline()
        if not answer:
            sys.exit("the bare script has ended")
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        """Let it end."""
        self._process.communicate("\n")


@contextmanager
def worker(path: str, log: Path) -> Iterator[tuple[EngineClient, int]]:
    """The engine in its worker, loaded, and the id it pads with."""
    entry = Registry().find("transformers")
    client = start_worker(
        entry.target,
        name=entry.name,
        python=sys.executable,
        environment=environment_for(None),
        log_path=log,
        limits=Limits(),
    )
    with client:
        spec = {
            "model": path,
            "weights": "checkpoint",
            "weights_seed": 0,
            "revision": None,
            "trust_remote_code": False,
            "precision": None,
            "engine": {"device": "cpu"},
            "strict": True,
            "gpus_expected": 0,
        }
        yield client, client.load(spec).model["pad_id"]


def window_against_loop(meter: str, number: int) -> tuple[Verdict, dict[str, Any]]:
    """The window's time over the bare loop's, pair by pair, in percent above it."""
    path = resolve(MODEL, backend="transformers").path
    options = GenerateOptions(
        output_tokens=OUTPUT_TOKENS, min_output_tokens=OUTPUT_TOKENS, seed=0
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        worker(path, Path(folder) / "worker.log") as (client, pad_id),
    ):
        bare = Bare(path, pad_id)
        turns = {"bare": count(), "harness": count()}
        names: list[str] = []

        def loop_s() -> float:
            time.sleep(PAUSE_S)
            return float(bare.run(prompts(next(turns["bare"])))["duration_s"])

        def window_s() -> float:
            # The meters sample in these turns only: the bare loop must not pay too.
            with open_meters([meter], gpus=[]) as metering:
                names[:] = metering.names
                time.sleep(PAUSE_S)
                asked = prompts(next(turns["harness"]))
                return client.generate(asked, options).duration_s

        note(f"{number} pairs of window and bare loop, meter {meter}")
        same_work(bare, client, options)
        for _ in range(3):
            loop_s(), window_s()
        found = pairs(loop_s, window_s, number)
        bare.close()
    longer = [100 * (window / loop - 1) for loop, window in found]
    verdict = judge(
        f"window over bare loop, {meter}", longer, unit="%", limit=LONGER_LIMIT_PCT
    )
    loops, windows = ([pair[side] for pair in found] for side in (0, 1))
    return verdict, {"meters": names, "bare_s": loops, "window_s": windows}


def same_work(bare: Bare, client: EngineClient, options: GenerateOptions) -> None:
    """Both give the same tokens, or the comparison is worth nothing."""
    asked = prompts(-1)
    rows = [one.output_ids for one in client.generate(asked, options).completions]
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    if bare.run(asked)["sha256"] != digest:
        sys.exit("the bare loop and the worker generate different tokens")


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
    longer, times = window_against_loop(arguments.meter, arguments.pairs)
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
