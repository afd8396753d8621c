"""The groups beside the summary: always the same keys, null with a reason."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_lem.analysis.failures import summed
from pytest_lem.analysis.metrics import ratio, total
from pytest_lem.records.goodput import no_goodput, pooled_goodput
from pytest_lem.records.percentiles import percentile_ends
from pytest_lem.records.record import Cycle, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Residue:
    """GPU memory in MB that engines held after their unload, more than before the load.

    None, and `reason`, where it is not known; `over` where it is more than allowed.
    """

    mb: float | None
    reason: str | None = None
    over: bool = False


UNREAD = Residue(mb=None, reason="not_unloaded")


def extended(
    cycles: Sequence[Cycle], nulls: dict[str, str], residue: Residue = UNREAD
) -> dict[str, Any]:
    """The groups of complete cycles; why a value is null goes to `nulls`."""
    windows = [window for cycle in cycles for window in cycle.windows]
    groups: dict[str, dict[str, Any]] = {
        "memory": {
            "model_mb": _most(cycle.metrics.get("memory_model_mb") for cycle in cycles),
            "load_peak_mb": _most(cycle.load.get("load_peak_mb") for cycle in cycles),
            **_largest(windows, "inference_peak_mb", "reserved_peak_mb", "rss_peak_mb"),
            **{
                key: _most(_machine_memory(cycle).get(key) for cycle in cycles)
                for key in ("device_used_mb", "process_used_mb")
            },
            "residual_mb": residue.mb,
        },
        "gpu_utilisation": {"mean_pct": _utilisation(windows)},
        "batch": _batching(windows),
        "kv_cache": {
            "used_mb": _largest(windows, "kv_cache_mb")["kv_cache_mb"],
            "read_mb": _largest(windows, "kv_cache_read_mb")["kv_cache_read_mb"],
            **_cache(windows),
        },
        "requests": _requests(windows),
        "request_latency": _last_latency(windows),
        "goodput": pooled_goodput(cycles),
        "percentiles": percentile_ends(cycles),
        "speculation": _speculation(windows),
    }
    if residue.reason is not None:
        nulls["extended.memory.residual_mb"] = residue.reason
    found = {
        f"extended.{group}.{key}": value
        for group, values in groups.items()
        for key, value in values.items()
    }
    for name, value in found.items():
        if value is None:
            nulls.setdefault(name, _why_null(name, cycles, nulls))
        else:
            nulls.pop(name, None)
    return groups


# Where the cycles have the reason for a value of the groups.
_REASONS = {
    "extended.memory.model_mb": "memory_model_mb",
    "extended.memory.load_peak_mb": "memory_peak_mb",
    "extended.memory.inference_peak_mb": "memory_peak_mb",
    "extended.memory.reserved_peak_mb": "memory_peak_mb",
    "extended.kv_cache.used_mb": "windows.memory.kv_cache_mb",
    "extended.kv_cache.read_mb": "windows.memory.kv_cache_read_mb",
}


def _why_null(name: str, cycles: Sequence[Cycle], nulls: Mapping[str, str]) -> str:
    windows = [window for cycle in cycles for window in cycle.windows]
    if not windows:
        return "no_complete_cycle"
    if name == "extended.gpu_utilisation.mean_pct":
        return "no_gpu_telemetry"
    if name.startswith("extended.goodput."):
        return no_goodput(name.rpartition(".")[2], cycles, nulls)
    if name.startswith("extended.percentiles."):
        return _no_end(name.rpartition(".")[2], nulls)
    if name.startswith("extended.speculation."):
        return _no_speculation(cycles, nulls)
    if name == "extended.kv_cache.hit_rate" and any(w.scheduler for w in windows):
        return "nothing_asked_of_it"
    if name == "extended.kv_cache.peak_pct":
        told = [(w.scheduler or {}).get("nulls", {}) for w in windows]
        return next(
            (one["kv_cache_peak_pct"] for one in told if "kv_cache_peak_pct" in one),
            "not_reported_by_engine",
        )
    return nulls.get(_REASONS.get(name, ""), "not_reported_by_engine")


def _no_end(name: str, nulls: Mapping[str, str]) -> str:
    """The percentile itself does not exist, or has no value beyond it."""
    percentile = name.replace("_low_", "_").replace("_high_", "_")
    return nulls.get(f"summary.{percentile}", "few_values")


def _no_speculation(cycles: Sequence[Cycle], nulls: Mapping[str, str]) -> str:
    """Nothing drafts, nobody counts, or nothing was drafted."""
    windows = [window for cycle in cycles for window in cycle.windows]
    counted = "extended.speculation.drafted_tokens" not in nulls
    if counted and any(window.speculation for window in windows):
        return "divisor_is_zero"
    return nulls.get("windows.speculation", "not_reported_by_engine")


def _machine_memory(cycle: Cycle) -> Mapping[str, float | None]:
    found: Mapping[str, float | None] = cycle.machine.get("memory") or {}
    return found


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _largest(windows: Sequence[Window], *keys: str) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for key in keys:
        found[key] = _most(w.memory.get(key) for w in windows)
    return found


def _utilisation(windows: Sequence[Window]) -> float | None:
    seen = [w.thermal.get("utilisation_mean_pct") for w in windows if w.thermal]
    known = [value for value in seen if value is not None]
    return sum(known) / len(known) if known else None


def _batching(windows: Sequence[Window]) -> dict[str, float | None]:
    computed = sum(w.tokens.input + w.tokens.padding for w in windows)
    sizes = [size for window in windows for size in window.batches]
    return {
        "effective_batch_size": ratio(sum(sizes), len(sizes)),
        "padding_overhead": (
            sum(w.tokens.padding for w in windows) / computed if computed else None
        ),
    }


def _cache(windows: Sequence[Window]) -> dict[str, float | None]:
    """What a scheduler told of its cache: tokens found in it of those looked for."""
    energy = [w.scheduler for w in windows if w.scheduler and w.kind == "energy"]
    told = [w.scheduler for w in windows if w.scheduler]
    return {
        "hit_rate": ratio(
            total(one["prefix_cache_hits"] for one in energy),
            total(one["prefix_cache_queries"] for one in energy),
        ),
        "capacity_tokens": _most(one["kv_cache_capacity_tokens"] for one in told),
        "peak_pct": _most(one["kv_cache_peak_pct"] for one in told),
        "preemptions": total(one["preemptions"] for one in energy),
    }


def _requests(windows: Sequence[Window]) -> dict[str, Any]:
    """Requests of all windows, by how they ended."""
    known = [window.outcomes for window in windows if window.outcomes]
    found = summed(known)
    return found if known else dict.fromkeys(found)


def _last_latency(windows: Sequence[Window]) -> dict[str, Any]:
    """Distributions of the last window; of the parts where the engine tells them."""
    blocks = [w.latency for w in windows if w.latency]
    last = blocks[-1] if blocks else {}
    parts = last.get("engine_times") or {}
    return {
        "e2e_ms": last.get("e2e_ms"),
        **{name: parts.get(name) for name in ("queue_ms", "prefill_ms", "decode_ms")},
    }


def _speculation(windows: Sequence[Window]) -> dict[str, float | None]:
    """What became of drafted tokens over the energy windows, all together."""
    energy = [window for window in windows if window.kind == "energy"]
    pairs = [(one.speculation, one.tokens.output) for one in energy if one.speculation]
    calls = total(drafts.verify_calls for drafts, _ in pairs)
    drafted = total(drafts.drafted_tokens for drafts, _ in pairs)
    accepted = total(drafts.accepted_tokens for drafts, _ in pairs)
    return {
        "verify_calls": calls,
        "drafted_tokens": drafted,
        "accepted_tokens": accepted,
        "acceptance_rate": ratio(accepted, drafted),
        "tokens_per_call": ratio(sum(output for _, output in pairs), calls),
    }
