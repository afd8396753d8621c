"""What measuring costs on a GPU: each engine under the harness against a bare script.

    python benchmarks/perf/perf_gpu_harness.py --backend transformers|vllm
        [--batch-size 1 8 64] [--pairs 12] [--calls N] [--json FILE]

The shape of Llama 3.2 1B with random weights, half precision, on the first GPU. The
bare script calls `model.generate` or `LLM.generate` with the same settings and the
library's own defaults for all else. The second row of each is of the tenth percentiles
of both sides, for busy hosts. Ends with status 1 if a window takes longer than the bare
calls by more than 1 %.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from gpu_bench import the_gpu, told
from harness_bench import Case, window_against_loop
from paired import finish

from pytest_lem.engines.vllm.environment import Facts, set_up
from pytest_lem.machine.gpu import Gpu

MODEL = "synthetic:llama-3.2-1b"
LIMIT_PCT = 1.0
TOKENS = {"transformers": (64, 64), "vllm": (64, 128)}
BATCHES = {"transformers": [1, 8, 64], "vllm": [1, 8, 64, 256]}
# Batches of a turn.
CALLS = {"transformers": {1: 2, 8: 2, 64: 2}, "vllm": {1: 4, 8: 4, 64: 2, 256: 2}}
# Both engines are on the GPU at once, and neither may take all of it.
VLLM = {"kv_cache_memory_bytes": 2**32, "gpu_memory_utilization": 0.4}
VLLM_BARE = {"load_format": "dummy", "dtype": "float16", "max_num_batched_tokens": 8192}


def case(backend: str, batch_size: int, gpu: Gpu, calls: int | None) -> Case:
    """A turn of about a second: long against a clock, short against drifts."""
    section: dict[str, Any] = {}
    arguments: dict[str, Any] = {}
    if backend == "vllm":
        section = {**VLLM, "max_num_seqs": batch_size}
        arguments = {**section, **VLLM_BARE}
    input_tokens, output_tokens = TOKENS[backend]
    return Case(
        backend=backend,
        model=MODEL,
        batch_size=batch_size,
        calls=calls or CALLS[backend].get(batch_size, 1),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        gpu=gpu,
        section=section,
        arguments=arguments,
    )


def main() -> int:
    """Measure, show, and say by the exit status whether the limit holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=sorted(BATCHES), required=True)
    parser.add_argument("--batch-size", type=int, nargs="+", metavar="N")
    parser.add_argument("--pairs", type=int, default=12, help="default: 12")
    parser.add_argument("--calls", type=int, metavar="N", help="batches of a turn")
    parser.add_argument("--meter", default="auto", help="as --lem-meter; default: auto")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    gpu = the_gpu(arguments.backend)
    if arguments.backend == "vllm":
        set_up(Facts(gpus=1, ranks=1))  # for both: kernels that are not installed
    verdicts, samples, facts = [], {}, told(gpu)
    for size in arguments.batch_size or BATCHES[arguments.backend]:
        one = case(arguments.backend, size, gpu, arguments.calls)
        verdict, times = window_against_loop(
            one,
            meter=arguments.meter,
            number=arguments.pairs,
            limit=LIMIT_PCT,
            calm=False,
        )
        verdicts += [verdict, times["quiet"]]
        tokens = one.calls * size * one.output_tokens
        middle = arguments.pairs // 2
        for side in ("bare", "window"):
            seconds = times[f"{side}_s"]
            samples[f"batch_{size}_{side}_s"] = seconds
            rate = tokens / sorted(seconds)[middle]
            facts[f"batch {size}, {side}"] = f"{rate:.0f} tokens/s"
        facts[f"batch {size}, same tokens"] = times["same_tokens"]
        facts["meters"] = ", ".join(times["meters"])
    return finish(verdicts, facts=facts, samples=samples, path=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
