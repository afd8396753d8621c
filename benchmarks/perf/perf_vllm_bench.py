"""`vllm bench serve` and our open loop on the same vLLM, schedule and lengths.

    python benchmarks/perf/perf_vllm_bench.py --python PATH
        [--rate 15] [--requests 150] [--runs 5] [--json FILE]

PATH is the Python that has vLLM; pytest and pytest-lem are this one's. Each run starts
the server, and our engine, anew, in turn. Requests are sent at the same times, with as
many tokens in and out, and what came of ours is told by vLLM's formulas (`lem export`).
Beside the client's figures stand those that the server took itself: what lies between
is HTTP, JSON and the client. Ours goes through AsyncLLM, as the server does; `no texts`
makes none of its tokens, and `in process` takes the engine's steps in one process, as
pytest-lem does by default on one device. Cells are medians over runs with the least and
most; a difference is `noise` where the ranks of the runs could be chance (Mann and
Whitney, 5 %, which takes four runs or more).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paired import machine, note, noted_load, wait_for_calm
from vllm_served import bench, metrics, own_figures, serving, warm_up, write_trace

from pytest_lem.records.export import read_json
from pytest_lem.report.peers import exported
from pytest_lem.spec.parameters.arrivals import Arrivals
from pytest_lem.workload.arrivals import schedule
from pytest_lem.workload.models import resolve

MODEL = "synthetic:llama-tiny"
SEQUENCES = 32
STEP_TOKENS = 8192
CACHE_BYTES = 2**28
SHOWN = {
    "mean_ttft_ms": "TTFT mean [ms]",
    "p50_ttft_ms": "TTFT p50 [ms]",
    "p99_ttft_ms": "TTFT p99 [ms]",
    "mean_tpot_ms": "TPOT mean [ms]",
    "mean_itl_ms": "ITL mean [ms]",
    "p99_itl_ms": "ITL p99 [ms]",
    "mean_e2el_ms": "E2EL mean [ms]",
    "output_throughput": "output [token/s]",
    "request_throughput": "requests/s",
}
LEVEL = 0.05

_TEST = """
import pytest

@pytest.mark.lem(
    model={model!r}, input_tokens={tokens_in}, output_tokens={tokens_out},
    requests={requests}, batch_size={sequences}, streaming=True,
    streaming_warmup_requests=0, arrivals={{"mode": "trace", "file": "times.txt"}},
    vllm={section!r},
)
def test_open_loop(lem):
    lem()
"""

Figures = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of both: when, of which model, of how many tokens."""

    python: str
    model: str
    due_s: Sequence[float]
    tokens_in: int
    tokens_out: int


def main() -> int:
    """Run both in turn, print the table; status 0, since nothing is bounded."""
    asked = _arguments()
    due_ns = schedule(Arrivals(rate_rps=asked.rate), asked.requests, seed=42)
    load = Load(
        python=asked.python,
        model=resolve(asked.model, backend="vllm").path,
        due_s=[at / 1e9 for at in due_ns],
        tokens_in=asked.input_tokens,
        tokens_out=asked.output_tokens,
    )
    sides: dict[str, list[Figures]] = {
        "client": [],
        "server": [],
        "ours": [],
        "no texts": [],
        "in process": [],
    }
    for run in range(asked.runs):
        order = [_both_of_theirs, _ours, _without_texts, _in_process]
        for measure in order if run % 2 else order[::-1]:
            if asked.calm:
                wait_for_calm()
            noted_load()
            with tempfile.TemporaryDirectory() as folder:
                found = measure(load, Path(folder))
            for name, figures in found.items():
                sides[name].append(figures)
                note(f"run {run + 1}, {name}: {_line(figures)}")
    _show(sides, {**machine(), "requests": asked.requests, "rate": asked.rate})
    if asked.json is not None:
        asked.json.write_text(json.dumps(sides, indent=2) + "\n")
    return 0


def _both_of_theirs(load: Load, folder: Path) -> dict[str, Figures]:
    """What the client found, and what the server timed itself of the same requests."""
    trace = folder / "trace.jsonl"
    write_trace(trace, load.due_s, load.tokens_in, load.tokens_out)
    arguments = ["--dtype", "float32", "--enforce-eager", "--seed", "0"]
    arguments += ["--max-num-seqs", str(SEQUENCES), "--no-enable-prefix-caching"]
    arguments += ["--max-num-batched-tokens", str(STEP_TOKENS)]
    arguments += ["--kv-cache-memory-bytes", str(CACHE_BYTES)]
    with serving(load.python, load.model, arguments, folder / "server.log") as port:
        prompts = [[5 + k] * load.tokens_in for k in range(SEQUENCES)]
        for _ in range(2):
            warm_up(port, load.model, prompts, load.tokens_out)
        before = metrics(port)
        client = bench(load.python, port, load.model, trace, len(load.due_s))
        own = own_figures(before, metrics(port))
    _check(client, load)
    return {"client": {name: client[name] for name in SHOWN}, "server": own}


def _ours(load: Load, folder: Path) -> dict[str, Figures]:
    return {"ours": _measured(load, folder, {})}


def _without_texts(load: Load, folder: Path) -> dict[str, Figures]:
    return {"no texts": _measured(load, folder, {"detokenize": False})}


def _in_process(load: Load, folder: Path) -> dict[str, Figures]:
    return {"in process": _measured(load, folder, {"in_process": True})}


def _measured(load: Load, folder: Path, more: Mapping[str, Any]) -> Figures:
    """Our open loop on the same engine, by vLLM's formulas."""
    section = {
        "enforce_eager": True,
        "in_process": False,
        "enable_prefix_caching": False,
        "max_num_seqs": SEQUENCES,
        "max_num_batched_tokens": STEP_TOKENS,
        "kv_cache_memory_bytes": CACHE_BYTES,
        **more,
    }
    test = _TEST.format(
        model=load.model,
        tokens_in=load.tokens_in,
        tokens_out=load.tokens_out,
        requests=len(load.due_s),
        sequences=SEQUENCES,
        section=section,
    )
    (folder / "test_open.py").write_text(test)
    (folder / "times.txt").write_text("".join(f"{at:.9f}\n" for at in load.due_s))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["--lem-backend=vllm", f"--lem-python=vllm={load.python}"]
    command += ["--lem-meter=none", "--lem-idle=off", "--lem-cycles=1"]
    command += ["--lem-windows=1", "--lem-warmup=fixed:2", "--lem-flops=off"]
    command += ["--lem-save-stamps=times", "--lem-json=r.json", "test_open.py"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"our run failed: {done.stdout[-2000:]}")
    record = read_json(folder / "r.json")
    (found,) = exported(record, "vllm", Path, everything=False)
    _check(found, load)
    return {name: found[name] for name in SHOWN}


def _check(found: Mapping[str, Any], load: Load) -> None:
    """Both did all the work, and the same."""
    count = len(load.due_s)
    told = [found[f"total_{one}_tokens"] for one in ("input", "output")]
    wanted = [count * load.tokens_in, count * load.tokens_out]
    if found["completed"] != count or told != wanted:
        sys.exit(f"{found['completed']} requests, tokens {told}; asked {wanted}")


def _show(sides: Mapping[str, list[Figures]], facts: Mapping[str, object]) -> None:
    """Medians and ranges of runs, and whether those of both clients are told apart."""
    for name, value in facts.items():
        print(f"{name}: {value}")
    heads = ["vllm bench", "its server", "pytest-lem", "no texts", "in process"]
    print(f"{'':16}" + "".join(f"{head:>22}" for head in [*heads, "difference"]))
    for name, title in SHOWN.items():
        values = {
            side: [one[name] for one in rows if name in one]
            for side, rows in sides.items()
        }
        cells = [_cell(one) for one in values.values()]
        cells.append(_difference(values["client"], values["ours"]))
        print(f"{title:16}" + "".join(f"{cell:>22}" for cell in cells))


def _difference(theirs: Sequence[float], ours: Sequence[float]) -> str:
    """Of the medians, in percent; `noise` where ranks of the runs do not differ."""
    from scipy.stats import mannwhitneyu

    percent = 100 * (statistics.median(ours) / statistics.median(theirs) - 1)
    known = mannwhitneyu(theirs, ours).pvalue < LEVEL
    return f"{percent:+.1f} % {'real' if known else 'noise'}"


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def _line(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in figures.items())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, metavar="PATH")
    parser.add_argument("--model", default=MODEL, help=f"default: {MODEL}")
    parser.add_argument("--rate", type=float, default=15.0, help="requests/s")
    parser.add_argument("--requests", type=int, default=150)
    parser.add_argument("--input-tokens", type=int, default=64)
    parser.add_argument("--output-tokens", type=int, default=32)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--no-calm",
        dest="calm",
        action="store_false",
        help="do not wait for other processes to leave the processors alone",
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
