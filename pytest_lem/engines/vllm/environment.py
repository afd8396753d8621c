"""Which environment variables vLLM needs, why, and the tests that say so.

vLLM reads them when it is imported or starts, so `set_up` comes before both.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_lem.errors import EngineLoadError


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the tests of the table look at.

    `gpus` are those of the run, `ranks` the processes that share a model; `in_process`
    is what was asked for, None being our own choice.
    """

    gpus: int
    ranks: int
    in_process: bool | None = None

    @property
    def runs_in_process(self) -> bool:
        """Whether the engine's core is to be in this process: on CPUs, if alone."""
        if self.in_process is not None:
            return self.in_process
        return not self.gpus and self.ranks == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable, the versions of vLLM that it is for, and why it is set.

    `needed` gives the value, or None where the test says that it is not needed.
    """

    name: str
    versions: str
    reason: str
    needed: Callable[[Facts], str | None]


def _cores(facts: Facts) -> str | None:
    """The cores of each rank on CPUs: as many for each, none shared."""
    if facts.gpus or facts.ranks < 2:
        return None
    cores = sorted(os.sched_getaffinity(0))
    share = len(cores) // facts.ranks
    if not share:
        return None
    parts = [cores[k * share :][:share] for k in range(facts.ranks)]
    return "|".join(",".join(map(str, part)) for part in parts)


def _off_without(module: str) -> Callable[[Facts], str | None]:
    def needed(facts: Facts) -> str | None:
        absent = importlib.util.find_spec(module) is None
        return "0" if facts.gpus and absent else None

    return needed


_CORE = "VLLM_ENABLE_V1_MULTIPROCESSING"
_USERS = frozenset(os.environ)

TABLE = (
    Variable(
        name="VLLM_WORKER_MULTIPROC_METHOD",
        versions=">=0.25",
        reason="a forked process cannot use CUDA, nor the locks of other threads",
        needed=lambda _: "spawn",
    ),
    Variable(
        name=_CORE,
        versions=">=0.25",
        reason="a core of its own costs a CPU seconds at start-up and hides its steps; "
        "on GPUs it is how vLLM is used",
        needed=lambda facts: "0" if facts.runs_in_process else "1",
    ),
    Variable(
        name="VLLM_NO_USAGE_STATS",
        versions=">=0.25",
        reason="nothing is sent anywhere, least of all inside a window",
        needed=lambda _: "1",
    ),
    Variable(
        name="DO_NOT_TRACK",
        versions=">=0.25",
        reason="the same, for the libraries below",
        needed=lambda _: "1",
    ),
    Variable(
        name="VLLM_CPU_OMP_THREADS_BIND",
        versions=">=0.25",
        reason="without it several ranks want a NUMA node each",
        needed=_cores,
    ),
    Variable(
        name="VLLM_USE_FLASHINFER_SAMPLER",
        versions=">=0.25",
        reason="the sampler is FlashInfer's unless told otherwise, there or not",
        needed=_off_without("flashinfer"),
    ),
    Variable(
        name="VLLM_USE_DEEP_GEMM",
        versions=">=0.25",
        reason="FP8 products are DeepGEMM's unless told otherwise, there or not",
        needed=_off_without("deep_gemm"),
    ),
)


def refuse_open_cuda() -> None:
    """Raises EngineLoadError where this process has used CUDA already.

    vLLM starts processes, and those that are forked then fail in other words.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        msg = (
            "CUDA was initialised in this process before vLLM was loaded: something "
            "that it imports, or a window before, has used the GPU"
        )
        raise EngineLoadError(msg)


def set_up(facts: Facts) -> None:
    """Set what the table says is needed, and take back what it no longer says.

    A variable that the user has set stays as it is, unless a parameter says otherwise.
    """
    for one in TABLE:
        told = one.name == _CORE and facts.in_process is not None
        if one.name in _USERS and not told:
            continue
        value = one.needed(facts)
        if value is None:
            os.environ.pop(one.name, None)
        else:
            os.environ[one.name] = value


def in_force(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The variables of the table and those of vLLM's that the user set; no secrets."""
    ours = {one.name for one in TABLE}
    users = {n for n in _USERS if n.startswith("VLLM_") and not n.endswith("_KEY")}
    return {name: environ[name] for name in sorted(ours | users) if name in environ}
