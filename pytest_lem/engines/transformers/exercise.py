"""Known work for the self-check of a meter, in a process of its own; run with `-m`.

Answers each line of its input by a line of JSON, first of all `{"device": ...}`:
`load S` is large matrix products on all visible GPUs, or the CPU, for S seconds;
`steps N` is N times what a token of a small model is, some hundred launches that wait
for nothing. Inputs are random: products of zeros draw half the power. The answer has
`start_s` and `end_s` on CLOCK_MONOTONIC, with the devices synchronised.
"""

import json
import sys
import time
from collections.abc import Callable

import torch

_LARGE = {"cuda": 8192, "cpu": 512}
_SMALL = 256
_LAYERS = 32
_AT_ONCE = 4


def _devices() -> list[torch.device]:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = [f"cuda:{k}" for k in range(count)] or ["cpu"]
    return [torch.device(name) for name in names]


def _synchronise(devices: list[torch.device]) -> None:
    for device in devices:
        if device.type == "cuda":
            torch.cuda.synchronize(device)


def _product(device: torch.device) -> Callable[[], None]:
    side = _LARGE[device.type]
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=kind) for _ in "ab")
    out = torch.empty_like(a)

    def run() -> None:
        torch.matmul(a, b, out=out)

    return run


def load(devices: list[torch.device], seconds: float) -> None:
    """Keep all devices busy for so long."""
    work = [_product(device) for device in devices]
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        for run in work * _AT_ONCE:
            run()
        _synchronise(devices)


def _step(device: torch.device) -> Callable[[], None]:
    weights = [
        torch.randn(_SMALL, _SMALL, device=device) / _SMALL**0.5 for _ in range(_LAYERS)
    ]
    start = torch.randn(1, _SMALL, device=device)

    def run() -> None:
        state = start
        for weight in weights:
            state = state + torch.tanh(state @ weight)

    return run


def main() -> None:
    """Answer until the input ends."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    devices = _devices()
    step = _step(devices[0])
    step()
    _tell({"device": devices[0].type})
    for line in sys.stdin:
        what, amount = line.split()
        _synchronise(devices)
        start_s = time.monotonic()
        if what == "load":
            load(devices, float(amount))
        else:
            for _ in range(int(amount)):
                step()
        _synchronise(devices)
        _tell({"start_s": start_s, "end_s": time.monotonic()})


def _tell(answer: dict[str, str] | dict[str, float]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
