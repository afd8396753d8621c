"""What stamping each token costs: windows with stamps against windows without.

    python benchmarks/perf/perf_stamps.py [--pairs 30] [--batch 1] [--model MODEL]
        [--device cpu|cuda] [--meter none] [--json FILE]

One engine stays loaded and generates the same prompts in turn with and without a stamp
for each token, as `--lem-phases` asks it to. With a meter energies are compared too.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from gpu_bench import the_gpu
from paired import Verdict, finish, judge, note, pairs

from pytest_lem.engines import GenerateOptions
from pytest_lem.engines.registry import Registry
from pytest_lem.machine.gpu import Gpu
from pytest_lem.meters.metering import Metering
from pytest_lem.meters.opening import open_meters
from pytest_lem.worker.client import EngineClient, Limits, start_worker
from pytest_lem.worker.devices import environment_for
from pytest_lem.workload.models import resolve

MORE_LIMIT_PCT = 2.0
INPUT_TOKENS, OUTPUT_TOKENS, CALLS = 64, 128, 4
PAUSE_S = 0.3  # the threads of one engine spin for a while after their last work


@contextmanager
def loaded(name: str, device: str, gpus: list[Gpu]) -> Iterator[EngineClient]:
    """The engine in its worker with the model on the device."""
    entry = Registry().find("transformers")
    model = resolve(name, backend=entry.name)
    with tempfile.TemporaryDirectory() as folder:
        client = start_worker(
            entry.target,
            name=entry.name,
            python=sys.executable,
            environment=environment_for([one.uuid for one in gpus] or None),
            log_path=Path(folder) / "worker.log",
            limits=Limits(),
        )
        with client:
            client.load(
                {
                    "model": model.path,
                    "weights": model.weights,
                    "weights_seed": model.seed,
                    "revision": None,
                    "trust_remote_code": False,
                    "precision": None,
                    "engine": {"device": device},
                    "strict": True,
                    "gpus_expected": len(gpus),
                }
            )
            yield client


class Windows:
    """Windows of the same work in turn; `seconds` and `joules` of both kinds."""

    def __init__(self, client: EngineClient, metering: Metering, batch: int) -> None:
        self.seconds: dict[bool, list[float]] = {False: [], True: []}
        self.joules: dict[bool, list[float]] = {False: [], True: []}
        self._client = client
        self._metering = metering
        self._batch = batch
        self._turns = {False: count(), True: count()}

    def run(self, *, stamps: bool) -> float:
        """One window; its seconds."""
        draw = random.Random(next(self._turns[stamps]))  # noqa: S311 - no secret
        asked = [
            [draw.randint(32, 126) for _ in range(INPUT_TOKENS)]
            for _ in range(CALLS * self._batch)
        ]
        options = GenerateOptions(
            output_tokens=OUTPUT_TOKENS,
            min_output_tokens=OUTPUT_TOKENS,
            batch_size=self._batch,
            seed=0,
            stamps=stamps,
        )
        time.sleep(PAUSE_S)
        done = self._client.generate(asked, options)
        start_s, end_s = done.start_ns / 1e9, done.end_ns / 1e9
        self.seconds[stamps].append(end_s - start_s)
        if self._metering.names:
            self._metering.settle(end_s)
            spent_j = self._metering.energy(start_s, end_s).gross_j
            if spent_j is None:
                sys.exit("the meter gave no energy for a window")
            self.joules[stamps].append(spent_j)
        return end_s - start_s

    def forget(self) -> None:
        """Leave out what ran so far."""
        for kind in (False, True):
            self.seconds[kind].clear()
            self.joules[kind].clear()


def verdicts(windows: Windows) -> list[Verdict]:
    """By how many percent stamps make a window longer, and dearer where metered."""
    found = []
    for name, values in (("time", windows.seconds), ("energy", windows.joules)):
        both = zip(values[False], values[True], strict=True)
        more = [100 * (stamped / bare - 1) for bare, stamped in both]
        if more:
            title = f"{name} of windows with stamps"
            found.append(judge(title, more, unit="% more", limit=MORE_LIMIT_PCT))
    return found


def main() -> int:
    """Measure, show, and say by the exit status whether the limit holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=30, help="default: 30")
    parser.add_argument("--batch", type=int, default=1, help="default: 1")
    parser.add_argument("--model", default="synthetic:llama-tiny")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--meter", default="none", help="as --lem-meter; default: none")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    gpus = [the_gpu("torch", "transformers")] if asked.device == "cuda" else []
    with (
        open_meters([asked.meter], gpus=gpus) as metering,
        loaded(asked.model, asked.device, gpus) as client,
    ):
        windows = Windows(client, metering, asked.batch)
        note(f"{asked.pairs} pairs of windows without and with stamps")
        for _ in range(3):
            windows.run(stamps=False), windows.run(stamps=True)
        windows.forget()
        pairs(
            lambda: windows.run(stamps=False),
            lambda: windows.run(stamps=True),
            asked.pairs,
        )
    middle = asked.pairs // 2
    return finish(
        verdicts(windows),
        facts={
            "model": f"{asked.model} on {asked.device}, batches of {asked.batch}",
            "meters": ", ".join(metering.names) or "none",
            "window_s": round(sorted(windows.seconds[False])[middle], 4),
        },
        samples={
            "bare_s": windows.seconds[False],
            "stamped_s": windows.seconds[True],
            "bare_j": windows.joules[False],
            "stamped_j": windows.joules[True],
        },
        path=asked.json,
    )


if __name__ == "__main__":
    sys.exit(main())
