"""How long `lem aggregate` takes for many files, and what it needs for long ones.

    python benchmarks/perf/perf_aggregate.py [--files N] [--tokens N] [--json FILE]

Writes two runs to a temporary folder as a session writes them: one of so many processes
with 10 requests each, whose report has to be there in 60 s, and one of 100 processes
with 1,000 requests of so many tokens, for which 500 MB have to do. Each is aggregated
by the command, in a process of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path

from blank import cycle, record
from paired import finish, judge_one, note

from pytest_lem.analysis.failures import counted
from pytest_lem.analysis.requests import Request
from pytest_lem.records.assemble import experiment_record
from pytest_lem.records.raw.files import (
    RawProcess,
    RawWindow,
    write_process,
    write_run,
)
from pytest_lem.records.record import Record, Tokens
from pytest_lem.records.stamps import Stamped
from pytest_lem.spec.effort import Effort
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.experiment import Experiment
from pytest_lem.spec.workload import Workload

LIMIT_S = 60.0
LIMIT_MB = 500.0
STEP_NS = 5_000_000


def requests_of(count: int, tokens: int) -> list[Request]:
    """Requests one after another, with a token each 5 ms."""
    found = []
    for k in range(count):
        sent_ns = 1_000_000_000 + k * tokens * STEP_NS
        token_ns = array("q", (sent_ns + (n + 1) * STEP_NS for n in range(tokens)))
        found.append(
            Request(
                input_tokens=512,
                output_tokens=tokens,
                sent_ns=sent_ns,
                ended_ns=token_ns[-1],
                token_ns=token_ns,
            )
        )
    return found


def process(index: int, requests: list[Request]) -> RawProcess:
    """A process with a GPU of its own."""
    start_ns, end_ns = requests[0].sent_ns, requests[-1].ended_ns
    energy = {"scope": "gpu", "energy_j": 10.0, "uncertainty_j": 0.3}
    energy |= {"method": "counter", "meter": "nvml", "device": f"GPU-{index}"}
    window = RawWindow(
        kind="latency",
        index=0,
        start_s=start_ns / 1e9,
        duration_s=(end_ns - start_ns) / 1e9,
        batches=[1] * len(requests),
        tokens=Tokens(
            input=sum(one.input_tokens for one in requests),
            output=sum(one.output_tokens for one in requests),
            padding=0,
        ),
        token_sha256="f00",  # noqa: S106
        outcomes=counted((one.outcome, None, one.output_tokens) for one in requests),
        left_out=0,
        energy=[energy],
        basis="measured",
        flops={"prefill": 1e12, "decode": 1e12, "needed": 2e12},
        memory={"inference_peak_mb": 1e4},
        flags=[],
    )
    return RawProcess(
        index=index,
        backend="fake",
        host="host",
        pid=1,
        devices=[f"GPU-{index}"],
        windows=[window],
    )


def shared() -> Record:
    """What the processes of a run share: a cycle without windows."""
    experiment = Experiment(
        id="test_it.py::test_it",
        spec=EngineSpec(backend="fake"),
        workload=Workload(),
        effort=Effort(cycles=1),
        provenance={},
    )
    return record([experiment_record(experiment, "0" * 16, [cycle()])])


def write(folder: Path, processes: int, requests: list[Request]) -> float:
    """Write a run whose processes did the same; milliseconds for each."""
    folder.mkdir()
    began_s = time.perf_counter()
    for index in range(processes):
        stamped = [Stamped(window=0, kind="latency", requests=requests)]
        write_process(folder, process(index, requests), stamped)
    write_run(folder, processes, shared())
    return (time.perf_counter() - began_s) * 1e3 / processes


def aggregated(folder: Path) -> tuple[float, float]:
    """Seconds that the command takes, and its peak of resident memory in MB."""
    report = folder.with_suffix(".json")
    command = [sys.executable, "-m", "pytest_lem.cli", "aggregate", folder]
    began_s = time.perf_counter()
    child = subprocess.Popen([*command, "-o", report], stdout=sys.stderr)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"lem aggregate ended with {child.returncode}")
    return time.perf_counter() - began_s, usage.ru_maxrss * 1024 / 1e6


def main() -> int:
    """Write, aggregate, and say by the exit status whether the limits hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--tokens", type=int, default=128, help="default: 128")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        note(f"{arguments.files} files of 10 requests")
        many, large = Path(name) / "many", Path(name) / "large"
        write_ms = write(many, arguments.files, requests_of(10, 8))
        many_s, many_mb = aggregated(many)
        note(f"100 files of 1000 requests of {arguments.tokens} tokens")
        write(large, 100, requests_of(1000, arguments.tokens))
        large_s, large_mb = aggregated(large)
    return finish(
        [
            judge_one(f"{arguments.files} files", many_s, unit="s", limit=LIMIT_S),
            judge_one(
                "100 files of 1000 requests", large_mb, unit="MB", limit=LIMIT_MB
            ),
        ],
        facts={
            "write_ms": round(write_ms, 1),
            "many_mb": round(many_mb),
            "large_s": round(large_s, 1),
        },
        samples={},
        path=arguments.json,
    )


if __name__ == "__main__":
    sys.exit(main())
