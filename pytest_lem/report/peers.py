"""The stored times of a report's requests, told as other tools would have."""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from pytest_lem.analysis.peers import Peer, Run
from pytest_lem.errors import ConfigError
from pytest_lem.records.record import Cycle, ExperimentRecord, Record
from pytest_lem.records.stamps import Stamped, read_stamps

PEERS = {
    "vllm": "pytest_lem.analysis.peers.vllm_bench",
    "aiperf": "pytest_lem.analysis.peers.aiperf",
    "guidellm": "pytest_lem.analysis.peers.guidellm",
    "mlperf": "pytest_lem.analysis.peers.mlperf",
}
OURS = "x_pytest_lem"


def exported(
    record: Record, name: str, folder: Callable[[str], Path], *, everything: bool
) -> Iterator[dict[str, Any]]:
    """What a tool would say of each window, with where it is from under `OURS`.

    `folder` makes a recorded path one that can be read. Windows without the times of
    tokens are left out where a cycle has others, unless `everything` is asked for.
    Raises ConfigError where no times were kept, or where they are not to be found.
    """
    module = import_module(PEERS[name])
    peer: Peer = module.told
    kept = [
        (experiment, cycle, cycle.stamps_path)
        for experiment in record.experiments
        for cycle in experiment.cycles
        if cycle.status == "complete" and cycle.stamps_path is not None
    ]
    if not kept:
        raise ConfigError(
            "it has distributions and no times of requests: measure with "
            "--lem-save-stamps=DIR"
        )
    for experiment, cycle, path in kept:
        for window in _windows(folder(path), everything=everything):
            result, nulls = peer(_run(experiment, window))
            about = _about(experiment, cycle, window, module.VERSION)
            yield {**result, OURS: {**about, "nulls": nulls}}


def _windows(path: Path, *, everything: bool) -> list[Stamped]:
    try:
        found = read_stamps(path)
    except FileNotFoundError as error:
        msg = f"{path} has the times of its requests and is not there: say --stamps"
        raise ConfigError(msg) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no times can be read: {error}") from error
    timed = [one for one in found if any(x.token_ns for x in one.requests)]
    return found if everything or not timed else timed


def _run(experiment: ExperimentRecord, window: Stamped) -> Run:
    """The window without the requests that warm it up, which these tools drop too."""
    workload = experiment.spec["workload"]
    law = workload.get("arrivals") or {}
    shapes = {"poisson": 1.0, "gamma": law.get("burstiness")}
    return Run(
        requests=[one for one in window.requests if not one.left_out],
        limits=workload.get("slo") or {},
        model=experiment.spec["model"]["name"],
        rate_rps=law.get("rate_rps"),
        burstiness=shapes.get(law.get("mode", "")),
        concurrency=workload.get("concurrency"),
    )


def _about(
    experiment: ExperimentRecord, cycle: Cycle, window: Stamped, version: str
) -> dict[str, Any]:
    return {
        "formulas_of": version,
        "experiment": experiment.id,
        "identity": experiment.identity,
        "cycle": cycle.index,
        "window": window.window,
        "kind": window.kind,
        "left_out": sum(one.left_out for one in window.requests),
        "failed": sum(one.failed for one in window.requests),
        "synthetic": experiment.synthetic,
    }
