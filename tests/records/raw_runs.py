"""Runs of several processes, written as a session writes them."""

from benchmarks.perf.blank import cycle, record
from pytest_lem.analysis.failures import counted
from pytest_lem.analysis.requests import Request
from pytest_lem.records.assemble import experiment_record
from pytest_lem.records.raw.files import (
    RawProcess,
    RawWindow,
    write_process,
    write_run,
)
from pytest_lem.records.record import Tokens
from pytest_lem.records.stamps import Stamped
from pytest_lem.spec.effort import Effort
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.experiment import Experiment
from pytest_lem.spec.workload import Workload

KINDS = ("energy", "latency")


def request_of(start_s, gaps_ms, **changed):
    """A request that began at a second and has a token after each gap."""
    token_ns = [round(start_s * 1e9)]
    for gap_ms in gaps_ms:
        token_ns.append(token_ns[-1] + round(gap_ms * 1e6))
    told = {"input_tokens": 7, "output_tokens": len(gaps_ms), **changed}
    return Request(
        sent_ns=token_ns[0], ended_ns=token_ns[-1], token_ns=token_ns[1:], **told
    )


def some(count):
    """Requests of 3 tokens, that begin one after another and overlap."""
    return [request_of(100 + k / 100, [20.0 + k, 5.0, 6.0 + k]) for k in range(count)]


def process(index, requests, *, devices, **changed):
    """What one process says of itself: its GPUs drew 10 J each in each window."""
    window = {"requests": requests, "devices": devices}
    values = {"backend": "vllm", "host": "h", "pid": 1, "devices": devices}
    windows = [_window(k, kind, **window) for k, kind in enumerate(KINDS)]
    return RawProcess(index=index, windows=windows, **{**values, **changed})


def write(folder, requests, processes, *, gpus=None, session="s", cycles=1, **changed):
    """Write a run, its requests dealt in turn; the first process has GPUs left over."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(processes):
        own = requests[index::processes]
        devices = [f"GPU-{index}"]
        if index == 0:
            devices += [f"GPU-{n}" for n in range(processes, gpus or 0)]
        stamped = [
            Stamped(window=k, kind=kind, requests=own) for k, kind in enumerate(KINDS)
        ]
        said = process(index, own, **{"devices": devices, **changed})
        write_process(folder, said, stamped)
    share(folder, processes, session=session, cycles=cycles)
    return folder


def share(folder, processes, *, session="s", cycles=1, index=0, **changed):
    """Write what processes share."""
    experiment = Experiment(
        id="t.py::test",
        spec=EngineSpec(backend="vllm"),
        workload=Workload(),
        effort=Effort(cycles=cycles),
        provenance={},
    )
    one = experiment_record(experiment, "f00", [cycle(index, **changed)])
    write_run(folder, processes, record([one], id=session))


def _window(index, kind, *, requests, devices):
    spans = [(one.sent_ns, one.ended_ns) for one in requests]
    start_ns = min((start for start, _ in spans), default=0)
    end_ns = max((end for _, end in spans), default=0)
    energy = {"scope": "gpu", "energy_j": 10.0, "uncertainty_j": 0.3}
    energy |= {"method": "counter", "meter": "nvml"}
    return RawWindow(
        kind=kind,
        index=index,
        start_s=start_ns / 1e9 if spans else None,
        duration_s=(end_ns - start_ns) / 1e9,
        batches=[1] * len(requests),
        tokens=Tokens(
            input=sum(one.input_tokens for one in requests),
            output=sum(one.output_tokens for one in requests),
            padding=0,
        ),
        token_sha256="f00",
        outcomes=counted((one.outcome, None, one.output_tokens) for one in requests),
        left_out=0,
        energy=[{"device": device, **energy} for device in devices],
        basis="measured",
        flops={"prefill": 5.0 * len(requests), "decode": 2.0 * len(requests)},
        memory={"inference_peak_mb": 100.0 * len(devices)},
        flags=[],
    )
