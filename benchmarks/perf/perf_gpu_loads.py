"""What measuring costs where loads differ: several of each side, in turn.

    python benchmarks/perf/perf_gpu_loads.py --backend transformers|vllm
        [--batch-size 1] [--loads 2] [--rounds 60] [--within 540] [--json FILE]

As `perf_gpu_harness.py`, on the first GPU, with what makes short steps that the host
launches comparable: each engine has processors of its own, which they change in turn,
and each round has a turn of all of them. What two loads of one side differ by is told
beside: less than that nobody can tell. Of vLLM the steps are compared as well, of which
a turn has hundreds. Ends with status 1 if windows take longer than the bare calls by
more than 1 %.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from gpu_bench import the_gpu, told
from harness_bench import (
    HERE,
    WARM,
    Bare,
    Case,
    Turn,
    bare_turn,
    same_work,
    window_turn,
    worker,
)
from paired import Verdict, finish, judge, judge_quiet, note
from perf_gpu_harness import BATCHES, LIMIT_PCT, case

from pytest_lem.engines.vllm.environment import Facts, set_up
from pytest_lem.worker.client import EngineClient
from pytest_lem.workload.models import resolve

CACHES = ("VLLM_CACHE_ROOT", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
PAD_ID = 0  # prompts are equally long: nothing is padded


@dataclass(slots=True, kw_only=True)
class Engine:
    """One load of one side, and what its turns took."""

    name: str
    pid: int
    turn: Turn
    stamps: Path
    took_s: list[float] = field(default_factory=list)

    def steps_ms(self, share: float) -> list[float]:
        """That quantile of the steps of each turn; none where nobody stamped them."""
        if not self.stamps.exists():
            return []
        lines = self.stamps.read_text().splitlines()[-2 * len(self.took_s) :]
        turns = [sorted(json.loads(line)) for line in lines[1::2]]
        return [steps[int(share * len(steps))] / 1e6 for steps in turns]


class Loads:
    """Engines of both sides, loaded at once, each with compilers' files of its own."""

    def __init__(self, one: Case, meter: str, stack: ExitStack) -> None:
        self._case, self._meter, self._stack = one, meter, stack
        self._model = resolve(one.model, backend=one.backend)
        self._place = Path(stack.enter_context(tempfile.TemporaryDirectory()))

    def load(self, count: int) -> list[Engine]:
        """`count` of each side; both have done equal work."""
        numbers = range(1, count + 1)
        with ThreadPoolExecutor(2 * count) as pool:
            scripts = pool.map(self._bare, numbers)
            workers = pool.map(self._worker, numbers)
        engines = []
        for k, script, client in zip(numbers, scripts, workers, strict=True):
            same_work(script, client, self._case)
            engines += [
                Engine(
                    name=f"bare {k}",
                    pid=script.pid,
                    turn=bare_turn(self._case, script),
                    stamps=self._folder(f"bare{k}") / "steps",
                ),
                Engine(
                    name=f"window {k}",
                    pid=client.pid,
                    turn=window_turn(self._case, client, self._meter, []),
                    stamps=self._folder(f"window{k}") / "steps",
                ),
            ]
        return engines

    def _bare(self, k: int) -> Bare:
        folder = self._folder(f"bare{k}")
        script = Bare(self._case, self._model, PAD_ID, _variables(folder))
        self._stack.callback(script.close)
        return script

    def _worker(self, k: int) -> EngineClient:
        folder = self._folder(f"window{k}")
        log = folder / "worker.log"
        started = worker(self._case, self._model, log, _variables(folder))
        return self._stack.enter_context(started)[0]

    def _folder(self, name: str) -> Path:
        folder = self._place / name
        folder.mkdir(exist_ok=True)
        return folder


def _variables(folder: Path) -> dict[str, str]:
    paths = [str(HERE / "step_stamps"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **{name: str(folder / name.lower()) for name in CACHES},
        "PYTHONPATH": os.pathsep.join(paths),
        "LEM_STEPS": str(folder / "steps"),
    }


def shares(count: int) -> list[list[int]]:
    """As many shares of the processors, and a last one for who meters; none if few."""
    found = sorted(os.sched_getaffinity(0))
    size = len(found) // (count + 1)
    parts = [found[k * size :][:size] for k in range(count)]
    return [*parts, found[count * size :]] if size > 1 else []


def pin(pid: int, processors: Sequence[int]) -> None:
    """Keep a process, all below it and all of their threads on these processors."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), processors)
        for child in (task / "children").read_text().split():
            pin(int(child), processors)


def take_turns(engines: Sequence[Engine], rounds: int, until_s: float) -> None:
    """A turn of all in each round, in an order and on processors that change."""
    number, parts = len(engines), shares(len(engines))
    if not parts:
        note("too few processors for a share of each engine: none is pinned")
    for k in range(-WARM, rounds):
        if time.monotonic() > until_s:
            note(f"time is over after {k} rounds")
            return
        for place, one in enumerate(engines if parts else ()):
            pin(one.pid, parts[(place + k) % number])
        shift = k % number
        order = [*engines[shift:], *engines[:shift]]
        for one in order if (k // number) % 2 else order[::-1]:
            took_s = one.turn(k + WARM)
            if k >= 0:
                one.took_s.append(took_s)


def above_pct(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """How much more the second is, in percent of the first, one by one."""
    return [100 * (b / a - 1) for a, b in zip(first, second, strict=False)]


def means(loads: Sequence[Sequence[float]]) -> list[float]:
    """The mean of the loads in each round that all of them had."""
    return [statistics.fmean(turns) for turns in zip(*loads, strict=False)]


def verdicts(engines: Sequence[Engine]) -> list[Verdict]:
    """Windows over bare calls: turns, tenth percentiles of turns, and steps."""
    bare, window = engines[::2], engines[1::2]
    turns = [means([one.took_s for one in side]) for side in (bare, window)]
    found = [
        judge("windows over bare", above_pct(*turns), unit="%", limit=LIMIT_PCT),
        judge_quiet("tenth percentiles", [*zip(*turns, strict=True)], limit=LIMIT_PCT),
    ]
    for name, share in (("median steps", 0.5), ("steps, tenth percentile", 0.1)):
        steps = [
            means([one.steps_ms(share) for one in side]) for side in (bare, window)
        ]
        if steps[0]:
            found.append(judge(name, above_pct(*steps), unit="%", limit=LIMIT_PCT))
    return found


def differences(engines: Sequence[Engine]) -> dict[str, object]:
    """What later loads of a side take over its first, and what each takes."""
    found: dict[str, object] = {}
    for first, second in zip(engines, engines[2:], strict=False):
        more = above_pct(first.took_s, second.took_s)
        one = judge("", more, unit="%", limit=LIMIT_PCT)
        told = f"{one.value:+.2f} % ({one.ci_low:+.2f} to {one.ci_high:+.2f})"
        found[f"{second.name} over {first.name}"] = told
    for each in engines:
        found[f"{each.name}, median"] = f"{statistics.median(each.took_s):.4f} s"
    return found


def main() -> int:
    """Measure, show, and say by the exit status whether the limit holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=sorted(BATCHES), required=True)
    parser.add_argument("--batch-size", type=int, default=1, metavar="N")
    parser.add_argument("--loads", type=int, default=2, help="of each side; default: 2")
    parser.add_argument("--rounds", type=int, default=60, help="default: 60")
    parser.add_argument(
        "--within", type=float, default=540.0, metavar="S", help="default: 540"
    )
    parser.add_argument("--calls", type=int, metavar="N", help="batches of a turn")
    parser.add_argument("--meter", default="auto", help="as --lem-meter; default: auto")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    until_s = time.monotonic() + arguments.within
    gpu = the_gpu(arguments.backend)
    one = case(arguments.backend, arguments.batch_size, gpu, arguments.calls)
    if arguments.backend == "vllm":
        set_up(Facts(gpus=1, ranks=1))  # for both: kernels that are not installed
        share = {"gpu_memory_utilization": 0.4 / arguments.loads}
        section, bare = {**one.section, **share}, {**one.arguments, **share}
        one = replace(one, section=section, arguments=bare)
    with ExitStack() as stack:
        engines = Loads(one, arguments.meter, stack).load(arguments.loads)
        note(f"{len(engines)} engines are loaded")
        take_turns(engines, arguments.rounds, until_s)
        found = verdicts(engines)
    samples = {f"{one.name}_s": one.took_s for one in engines}
    facts = {**told(gpu), **differences(engines)}
    return finish(found, facts=facts, samples=samples, path=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
