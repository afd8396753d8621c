"""What TensorRT-LLM tells of its steps and requests: queues, cache, drafts, times.

Figures of steps are kept in a ring, from which the oldest fall out: a gap is seen by
their numbers, and then nothing is said of the pass. Fields that a version lacks are
null with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

Step = Mapping[str, Any]
"""An iteration as `LLM.get_stats` tells it."""

KEPT = 100_000
"""Steps whose figures are kept: those of a window, with room to spare."""

_OFF = "needs_tensorrt.enable_iter_perf_stats"
_LOST = "iteration_stats_dropped"


class Steps:
    """The figures of one pass after another."""

    def __init__(self, read: Callable[[], Sequence[Step]] | None = None) -> None:
        self._read = read
        self._last = 0
        self.lost = False

    def begin(self) -> None:
        """Forget what was before the pass."""
        self.lost = False
        for step in self._new():
            self._last = step.get("iter", self._last)

    def taken(self) -> list[Step] | None:
        """The steps of the pass; None where they are not told, or some were lost."""
        if self._read is None:
            return None
        found = self._new()
        numbers = [step["iter"] for step in found if "iter" in step]
        told = [self._last, *numbers] if self._last else numbers
        self.lost = any(b - a > 1 for a, b in pairwise(told))
        self._last = numbers[-1] if numbers else self._last
        return None if self.lost else found

    @property
    def reason(self) -> str | None:
        """Why steps are not told."""
        if self._read is None:
            return _OFF
        return _LOST if self.lost else None

    def _new(self) -> list[Step]:
        return list(self._read()) if self._read else []


def scheduled(
    steps: Sequence[Step] | None,
    outputs: Sequence[Any],
    cached: int | None,
    reason: str | None,
) -> dict[str, Any]:
    """What the scheduler did in a pass, and why what is null is."""
    prompts = sum(len(one.prompt_token_ids) for one in outputs)
    found: dict[str, Any] = {
        "steps": None,
        "running_max": None,
        "waiting_max": None,
        "preemptions": None,
        "generation_tokens": None,
        "prefix_cache_queries": prompts,
        "prefix_cache_hits": cached,
        "kv_cache_capacity_tokens": None,
        "kv_cache_peak_pct": None,
        "cuda_graph_steps": None,
    }
    if steps:
        flights = [step.get("inflightBatchingStats") or {} for step in steps]
        caches = [step.get("kvCacheStats") or {} for step in steps]
        paused = [0, *(one.get("numPausedRequests", 0) for one in flights)]
        found |= {
            "steps": len(steps),
            "running_max": _most(flights, "numScheduledRequests"),
            "waiting_max": _most(steps, "numQueuedRequests"),
            "preemptions": sum(max(0, b - a) for a, b in pairwise(paused)),
            "kv_cache_capacity_tokens": _capacity(caches),
            "kv_cache_peak_pct": _peak_pct(caches),
        }
    missing = reason if not steps and reason else "not_reported_by_engine"
    nulls = {key: missing for key, value in found.items() if value is None}
    for never in ("generation_tokens", "cuda_graph_steps"):
        nulls[never] = "not_reported_by_engine"
    return {**found, "nulls": nulls}


def drafts(outputs: Sequence[Any]) -> dict[str, Any] | None:
    """What became of drafted tokens, by the requests' own figures; None if untold."""
    texts = [text for one in outputs for text in one.outputs]
    metrics = [getattr(text, "request_perf_metrics", None) for text in texts]
    told: list[Any] = [getattr(one, "speculative_decoding", None) for one in metrics]
    if not told or None in told:
        return None
    return {
        "verify_calls": sum(one.decoding_iter for one in outputs),
        "drafted_tokens": sum(one.total_draft_tokens for one in told),
        "accepted_tokens": sum(one.total_accepted_draft_tokens for one in told),
    }


def request_times_ms(outputs: Iterable[Any]) -> dict[str, list[float] | None]:
    """Milliseconds of each request in queue, prefill and decode, by the engine's clock.

    None where one of them is not told. TensorRT-LLM's clock has no relation to ours.
    """
    times = [_times(one) for one in outputs]
    ends = {
        "queue": ("arrival_time", "first_scheduled_time"),
        "prefill": ("first_scheduled_time", "first_token_time"),
        "decode": ("first_token_time", "last_token_time"),
    }
    return {name: _spans(times, *pair) for name, pair in ends.items()}


def kv_cache_mb(
    steps: Sequence[Step] | None, token_bytes: float | None
) -> float | None:
    """The most of the cache that was in use after a step, in MB: whole blocks."""
    if not steps or token_bytes is None:
        return None
    used = [
        one.get("usedNumBlocks", 0) * one.get("tokensPerBlock", 0)
        for step in steps
        if (one := step.get("kvCacheStats"))
    ]
    return max(used) * token_bytes / 1e6 if used else None


def gpu_memory_mb(steps: Sequence[Step] | None) -> float | None:
    """The most memory that TensorRT-LLM saw in use on its GPU, in MB."""
    most = _most(steps or (), "gpuMemUsage")
    return None if most is None else most / 1e6


def _times(output: Any) -> Any:
    """The engine's stamps of a request that has one text."""
    if len(output.outputs) != 1:
        return None
    metrics = getattr(output.outputs[0], "request_perf_metrics", None)
    return getattr(metrics, "timing_metrics", None)


def _spans(times: Sequence[Any], start: str, end: str) -> list[float] | None:
    pairs: list[tuple[Any, Any]] = [
        (getattr(one, start, None), getattr(one, end, None)) for one in times
    ]
    known = pairs and all(a and b for a, b in pairs)
    return [1e3 * (b - a).total_seconds() for a, b in pairs] if known else None


def _most(rows: Iterable[Mapping[str, Any]], key: str) -> Any:
    return max((one[key] for one in rows if key in one), default=None)


def _capacity(caches: Sequence[Mapping[str, Any]]) -> int | None:
    one = caches[-1]
    known = "maxNumBlocks" in one and "tokensPerBlock" in one
    return one["maxNumBlocks"] * one["tokensPerBlock"] if known else None


def _peak_pct(caches: Sequence[Mapping[str, Any]]) -> float | None:
    shares = [
        100.0 * one["usedNumBlocks"] / one["maxNumBlocks"]
        for one in caches
        if one.get("maxNumBlocks")
    ]
    return max(shares, default=None)
