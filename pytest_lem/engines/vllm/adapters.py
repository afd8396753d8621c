"""LoRA adapters: room for them, and which request gets which."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

from pytest_lem.engines.contract import one_line
from pytest_lem.errors import ConfigError, EngineLoadError
from pytest_lem.workload.adapters import located

KEYS = ("adapters", "request_adapters")
"""Keys of the section that are no arguments of vLLM's."""

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


def lora_arguments(
    spec: Mapping[str, Any], given: Mapping[str, Any], *, gpus: int
) -> dict[str, Any]:
    """Room for the spec's adapters: for all of them at once, of the largest rank.

    Raises ConfigError for what would give other tokens than those asked for.
    """
    paths = _paths(spec)
    if not paths:
        return {}
    if given.get("enable_lora") is False:
        names = ", ".join(map(repr, paths.values()))
        raise ConfigError(
            f"vllm.enable_lora=False and adapter {names} exclude each other"
        )
    turn = spec["engine"].get("request_adapters") or ()
    if not gpus and None in turn and any(turn):
        raise ConfigError(
            "vllm.request_adapters: beside requests with an adapter, vLLM computes on "
            "CPUs those without (null) with one as well (seen in 0.32.0)"
        )
    kept_as = given.get("lora_dtype") or "auto"
    if gpus and spec.get("precision") == "float32" and kept_as in ("auto", "float32"):
        raise ConfigError(
            "vLLM computes adapters on GPUs in float16 or bfloat16: choose that "
            "precision, or vllm.lora_dtype (seen in 0.25.1)"
        )
    found: dict[str, Any] = {"enable_lora": True, "max_loras": len(paths)}
    ranks = [lora_rank(path) for path in paths.values()]
    if None not in ranks:
        largest = max(rank for rank in ranks if rank is not None)
        found["max_lora_rank"] = next((r for r in RANKS if r >= largest), RANKS[-1])
    return found


def lora_rank(path: str) -> int | None:
    """The rank of an adapter; None where its files do not say."""
    file = located(path).folder / "adapter_config.json"
    try:
        rank = json.loads(file.read_text(encoding="utf-8")).get("r")
    except (OSError, ValueError):
        return None
    return rank if isinstance(rank, int) else None


class Adapters:
    """The adapters of a loaded engine, and whose turn it is."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        from vllm.lora.request import LoRARequest

        self._paths = _paths(spec)
        self._made = {
            name: LoRARequest(name, number, str(located(path).folder))
            for number, (name, path) in enumerate(self._paths.items(), start=1)
        }
        self._turn = spec["engine"].get("request_adapters") or [*self._paths]

    @property
    def told(self) -> dict[str, dict[str, Any]]:
        """Path, rank, commit and hashes of each adapter, by name."""
        return {
            name: {"path": path, "rank": lora_rank(path), **located(path).facts()}
            for name, path in self._paths.items()
        }

    def load(self, add: Callable[[Any], None]) -> None:
        """Have vLLM load all of them, which it would do in the pass that is the first.

        Raises EngineLoadError in one line.
        """
        for name, request in self._made.items():
            try:
                add(request)
            except Exception as error:
                msg = (
                    f"adapter {self._paths[name]!r} cannot be loaded: {one_line(error)}"
                )
                raise EngineLoadError(msg, detail=str(error)) from error

    def of(self, requests: int) -> list[Any] | None:
        """What each of so many requests is to be computed with; None if all without."""
        if not self._made:
            return None
        turn = itertools.islice(itertools.cycle(self._turn), requests)
        return [None if name is None else self._made[name] for name in turn]


def _paths(spec: Mapping[str, Any]) -> dict[str, str]:
    """Where the adapters are, by name; a single one is called `adapter`."""
    several = spec["engine"].get("adapters")
    if several is not None:
        return dict(several)
    return {} if spec.get("adapter") is None else {"adapter": spec["adapter"]}
