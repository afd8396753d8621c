"""What the scripts that hold the harness against a bare script share.

Both engines stay loaded in processes of their own and take turns; the meters sample
while it is the harness's turn.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

from paired import Verdict, judge, judge_quiet, note, pairs

from pytest_lem.engines import GenerateOptions
from pytest_lem.engines.registry import Registry
from pytest_lem.machine.gpu import Gpu
from pytest_lem.meters.opening import open_meters
from pytest_lem.worker.client import EngineClient, Limits, start_worker
from pytest_lem.worker.devices import environment_for, inherited
from pytest_lem.workload.models import Model, resolve

PAUSE_S = 0.3  # the threads of one engine spin for a while after their last work
WARM = 3
HERE = Path(__file__).parent

Turn = Callable[[int], float]
"""Runs the batches of a case with the prompts of a seed; the seconds they took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What both sides do in a turn: `calls` batches of equally long prompts.

    `section` are the engine's keys; `arguments` those that a bare vLLM is made with.
    """

    backend: str
    model: str
    batch_size: int = 1
    calls: int
    input_tokens: int
    output_tokens: int
    gpu: Gpu | None = None
    section: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)

    def prompts(self, seed: int, calls: int | None = None) -> list[list[int]]:
        """The prompts of a turn, of plain bytes, new for each seed."""
        draw = random.Random(seed)  # noqa: S311 - repeatable, no secret
        total = self.batch_size * (calls or self.calls)
        return [
            [draw.randint(32, 126) for _ in range(self.input_tokens)]
            for _ in range(total)
        ]

    def options(self, output_tokens: int) -> GenerateOptions:
        """What the worker is asked for."""
        return GenerateOptions(
            output_tokens=output_tokens,
            min_output_tokens=output_tokens,
            batch_size=self.batch_size,
            seed=0,
        )

    @property
    def environment(self) -> dict[str, str]:
        """The GPU, or none."""
        return environment_for([self.gpu.uuid] if self.gpu else None)


class Bare:
    """The script without pytest-lem, in a process of its own."""

    def __init__(
        self,
        case: Case,
        model: Model,
        pad_id: int,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._case = case
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / f"bare_{case.backend}.py")],
            env={**inherited(os.environ), **case.environment, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._ask(
            {
                "path": model.path,
                "weights": model.weights,
                "seed": model.seed,
                "dtype": "float16" if case.gpu else "float32",
                "device": "cuda" if case.gpu else "cpu",
                "pad_token_id": pad_id,
                "arguments": {"model": model.path, **case.arguments},
            }
        )

    def _ask(self, value: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        print(json.dumps(value), file=stdin, flush=True)
        answer = stdout.readline()
        if not answer:
            sys.exit("the bare script has ended")
        found: dict[str, Any] = json.loads(answer)
        return found

    def run(self, asked: list[list[int]], output_tokens: int) -> dict[str, Any]:
        """Seconds of the loop, tokens that came out, and a hash of them."""
        batches = [list(batch) for batch in _batches(asked, self._case.batch_size)]
        return self._ask(
            {
                "batches": batches,
                "input_tokens": self._case.input_tokens,
                "output_tokens": output_tokens,
            }
        )

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()


def _batches(rows: list[list[int]], size: int) -> Iterator[list[list[int]]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


@contextmanager
def worker(
    case: Case,
    model: Model,
    log: Path,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[tuple[EngineClient, int]]:
    """The engine in its worker, loaded, and the id it pads with."""
    entry = Registry().find(case.backend)
    client = start_worker(
        entry.target,
        name=entry.name,
        python=sys.executable,
        environment={**case.environment, **environment},
        log_path=log,
        limits=Limits(),
    )
    with client:
        spec = {
            "model": model.path,
            "weights": model.weights,
            "weights_seed": model.seed,
            "revision": None,
            "trust_remote_code": False,
            "precision": None,
            "adapter": None,
            "engine": case.section,
            "strict": True,
            "gpus_expected": int(case.gpu is not None),
        }
        yield client, client.load(spec).model["pad_id"]


# A GPU that was idle runs slowly at first, which is neither side's concern: a batch
# comes before each turn.
def bare_turn(case: Case, bare: Bare) -> Turn:
    """A turn of the bare loop."""

    def batches(seed: int, calls: int) -> float:
        asked = case.prompts(seed, calls)
        return float(bare.run(asked, case.output_tokens)["duration_s"])

    def turn(seed: int) -> float:
        time.sleep(PAUSE_S)
        batches(-2 - seed, 1)
        return batches(seed, case.calls)

    return turn


def window_turn(case: Case, client: EngineClient, meter: str, names: list[str]) -> Turn:
    """A turn of the harness; `names` becomes those of the meters.

    They sample in these turns only: the bare loop must not pay too.
    """
    options = case.options(case.output_tokens)
    gpus = [case.gpu] if case.gpu else []

    def batches(seed: int, calls: int) -> float:
        return client.generate(case.prompts(seed, calls), options).duration_s

    def turn(seed: int) -> float:
        with open_meters([meter], gpus=gpus) as metering:
            names[:] = metering.names
            time.sleep(PAUSE_S)
            batches(-2 - seed, 1)
            return batches(seed, case.calls)

    return turn


def window_against_loop(
    case: Case, *, meter: str, number: int, limit: float, calm: bool = True
) -> tuple[Verdict, dict[str, Any]]:
    """The window's time over the bare loop's, pair by pair, in percent above it."""
    model = resolve(case.model, backend=case.backend)
    label = f"{case.backend}, batch {case.batch_size}"
    with (
        tempfile.TemporaryDirectory() as folder,
        worker(case, model, Path(folder) / "worker.log") as (client, pad_id),
    ):
        bare = Bare(case, model, pad_id)
        turns = {"bare": count(), "harness": count()}
        names: list[str] = []

        looped = bare_turn(case, bare)
        passed = window_turn(case, client, meter, names)

        def loop_s() -> float:
            return looped(next(turns["bare"]))

        def window_s() -> float:
            return passed(next(turns["harness"]))

        note(f"{label}: {number} pairs of window and bare loop, meter {meter}")
        same = same_work(bare, client, case)
        for _ in range(WARM):
            loop_s(), window_s()
        found = pairs(loop_s, window_s, number, calm=calm)
        bare.close()
    longer = [100 * (window / loop - 1) for loop, window in found]
    verdict = judge(f"window over bare, {label}", longer, unit="%", limit=limit)
    loops, windows = ([pair[side] for pair in found] for side in (0, 1))
    return verdict, {
        "meters": names,
        "quiet": judge_quiet(f"tenth percentiles, {label}", found, limit=limit),
        "same_tokens": same,
        "bare_s": loops,
        "window_s": windows,
    }


def same_work(bare: Bare, client: EngineClient, case: Case) -> bool:
    """Whether the tokens are equal; as many they must be, or comparing is worthless.

    With vLLM the batches of a step depend on when requests arrive, and with them the
    rounding: there equal tokens are not asked for.
    """
    asked = case.prompts(-1)
    made = client.generate(asked, case.options(case.output_tokens))
    rows = [one.output_ids for one in made.completions]
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    told = bare.run(asked, case.output_tokens)
    if told["tokens"] != sum(map(len, rows)):
        sys.exit("the bare loop and the worker generate different numbers of tokens")
    same = bool(told["sha256"] == digest)
    if case.backend == "transformers" and not same:
        sys.exit("the bare loop and the worker generate different tokens")
    return same
