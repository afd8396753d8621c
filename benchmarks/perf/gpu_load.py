"""Known work on the first visible GPU, in a process of its own, for the perf scripts.

    gpu_load.py steady            large products, until standard input ends
    gpu_load.py phases SECONDS    large and small products in turn; tells the marks
    gpu_load.py decode            answers each line by as many tokens as it says

Says `ready` when it is warm. Inputs are random: products of zeros draw half the power.
Stamps are CLOCK_MONOTONIC nanoseconds, taken with the device synchronised.
"""

import json
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable

import torch

LARGE, SMALL, LAYERS = 8192, 1024, 16
WARM_S = 10.0
AT_ONCE, AHEAD = 16, 2
PHASE_S = (0.15, 1.5)
LAUNCHES_PER_TOKEN = 3 * LAYERS + 1


def steady(stop: threading.Event) -> None:
    """One product after the other, with some always waiting, so that no gap comes."""
    work = large()
    waiting: deque[torch.cuda.Event] = deque()
    while not stop.is_set():
        for _ in range(AT_ONCE):
            work()
        mark = torch.cuda.Event(blocking=True)
        mark.record()
        waiting.append(mark)
        if len(waiting) > AHEAD:
            waiting.popleft().synchronize()
    torch.cuda.synchronize()


def large() -> Callable[[], None]:
    """Work as prefill is: bound by arithmetic."""
    a, b = (
        torch.randn(LARGE, LARGE, device="cuda", dtype=torch.bfloat16) for _ in "ab"
    )
    out = torch.empty_like(a)
    return lambda: torch.matmul(a, b, out=out)


def token() -> Callable[[], None]:
    """Work as a token of decode is: many small launches, one after the other."""
    weights = [
        torch.randn(SMALL, SMALL, device="cuda", dtype=torch.bfloat16) / SMALL**0.5
        for _ in range(LAYERS)
    ]
    start = torch.randn(1, SMALL, device="cuda", dtype=torch.bfloat16)

    def run() -> None:
        state = start
        for weight in weights:
            state = state + torch.nn.functional.gelu(state @ weight)
        state.argmax().item()

    return run


def phases(seconds: float) -> list[dict[str, object]]:
    """Both kinds of work in turn, each for a random while; a mark for each phase."""
    draw = random.Random(0)  # noqa: S311 - repeatable, no secret
    kinds = {"large": large(), "small": token()}
    for work in kinds.values():
        work()
    torch.cuda.synchronize()
    marks: list[dict[str, object]] = []
    began_ns = now_ns = time.monotonic_ns()
    while now_ns - began_ns < seconds * 1e9:
        kind = "small" if len(marks) % 2 else "large"
        work, start_ns, long_ns = kinds[kind], now_ns, draw.uniform(*PHASE_S) * 1e9
        while now_ns - start_ns < long_ns:
            for _ in range(4):
                work()
            torch.cuda.synchronize()
            now_ns = time.monotonic_ns()
        marks.append({"name": kind, "start_ns": start_ns, "end_ns": now_ns})
    return marks


def answer() -> None:
    """Decode as many tokens as each line says; tell when it began and each ended."""
    work = token()
    for _ in range(200):
        work()
    print("ready", flush=True)
    for line in sys.stdin:
        torch.cuda.synchronize()
        stamps = [time.monotonic_ns()]
        for _ in range(int(line)):
            work()
            stamps.append(time.monotonic_ns())
        launches = int(line) * LAUNCHES_PER_TOKEN
        print(json.dumps({"launches": launches, "token_ns": stamps}), flush=True)


def hold() -> None:
    """Steady work until standard input ends."""
    stop = threading.Event()
    worker = threading.Thread(target=steady, args=(stop,))
    worker.start()
    time.sleep(WARM_S)
    print("ready", flush=True)
    sys.stdin.read()
    stop.set()
    worker.join()


def main() -> None:
    """Do what the arguments say."""
    torch.manual_seed(0)
    if sys.argv[1] == "steady":
        hold()
    elif sys.argv[1] == "decode":
        answer()
    else:
        phases(3.0)
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(phases(float(sys.argv[2]))), flush=True)


if __name__ == "__main__":
    main()
