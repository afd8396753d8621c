"""Shards of one model in several processes, by the library's tensor parallelism."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from pytest_lem.errors import ConfigError, EngineLoadError

_TOGETHER_S = 900.0


def join(spec: Mapping[str, Any], device: torch.device) -> None:
    """Join the ranks of this load, if there are any.

    ConfigError where a section asks for more processes than there are, EngineLoadError
    where the ranks do not find each other.
    """
    section, rank = spec["engine"], spec.get("rank") or {}
    shards = (section.get("distributed_config") or {}).get("tp_size") or 1
    wanted = max(shards, section.get("num_processes") or 1)
    there = rank.get("world_size", 1)
    if wanted != there:
        msg = f"{wanted} processes of this engine are needed and there is {there}"
        raise ConfigError(msg)
    if shards == 1:
        return
    on_gpu = device.type == "cuda"
    try:
        distributed.init_process_group(
            "nccl" if on_gpu else "gloo",
            init_method=f"file://{rank['store']}",
            rank=rank["rank"],
            world_size=rank["world_size"],
            timeout=timedelta(seconds=_TOGETHER_S),
            device_id=device if on_gpu else None,
        )
    except (RuntimeError, ValueError) as error:
        msg = f"the ranks of this model do not find each other: {error}"
        raise EngineLoadError(msg) from error


def leave() -> None:
    """Leave the other ranks; nothing where none were joined."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def shares(section: Mapping[str, Any]) -> Any:
    """The library's configuration of shards; None where the model is whole."""
    asked = section.get("distributed_config") or {}
    if (asked.get("tp_size") or 1) == 1:
        return None
    from transformers.distributed import DistributedConfig

    plan = asked.get("tp_plan") or "auto"
    return DistributedConfig(tp_plan=plan, tp_size=asked["tp_size"])


def sharded(model: Any) -> dict[str, Any] | None:
    """How many ranks share the model, and how many tensors are cut; None if whole."""
    size = getattr(model, "_tp_size", None) or 1
    if size == 1:
        return None
    cut = sum(local_bytes(each) < each.nbytes for each in model.parameters())
    return {"tp_size": size, "tp_plan": dict(model.tp_plan), "tensors_cut": cut}


def local_bytes(tensor: Any) -> int:
    """Bytes of a tensor that this rank holds; all of one that is not cut."""
    local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return int(local.nbytes)
