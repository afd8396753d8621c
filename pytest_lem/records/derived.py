"""A cycle's metrics, from its windows and from what is known over all of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_lem.analysis.metrics import (
    ComputeFigures,
    PhaseFigures,
    indices,
    pooled,
    pooled_flops,
    pooled_phases,
    ratio,
    total,
)
from pytest_lem.records.record import Cycle, Tokens, Window
from pytest_lem.records.spread import figures

GOODPUT = ("goodput_rps", "attainment", "goodput_per_joule")

_LATENCY = {
    "ttft_ms": ("mean", "p50", "p95", "p99"),
    "tpot_ms": ("mean",),
    "itl_ms": ("mean", "p50", "p95", "p99"),
    "e2e_ms": ("mean", "p50", "p95"),
}

# Where a window has each metric of a phase.
_PLACES = {
    "energy_prefill_per_input_token_j": "prefill.energy_per_input_token_j",
    "energy_decode_per_output_token_j": "decode.energy_per_output_token_j",
    "prefill_power_w": "prefill.power_w",
    "decode_power_w": "decode.power_w",
    "prefill_throughput_tps": "prefill.input_tps",
    "decode_throughput_tps": "decode.output_tps",
}


def window_metrics(
    windows: Sequence[Window],
    latency: Mapping[str, Any] | None,
    served: Mapping[str, Any] | None,
) -> dict[str, float | None]:
    """All that is told by windows, and by the cycle's blocks of latency and goodput."""
    sums = pooled([figures(w) for w in windows if w.kind == "energy"])
    peaks_mb = [w.memory.get("inference_peak_mb") for w in windows]
    peak_mb = max((mb for mb in peaks_mb if mb is not None), default=None)
    return {
        **sums,
        **phase_metrics(windows),
        **index_metrics(windows, sums, peak_mb),
        **compute_metrics(windows),
        **_latency_metrics(latency or {}),
        **{name: (served or {}).get(name) for name in GOODPUT},
        "memory_peak_mb": peak_mb,
    }


def spent_j(cycle: Cycle) -> float | None:
    """Joules of load, warm-up and windows as far as they are known; None if none is.

    Those of a cycle that failed or was run again were spent like any others.
    """
    parts = [cycle.load.get("energy_j")]
    parts += [cycle.warmup.energy_j] if cycle.warmup else []
    parts += [one.energy.gross_j for one in cycle.windows]
    known = [one for one in parts if one is not None]
    return sum(known) if known else None


def throughput(
    kind: str, tokens: Tokens, outcomes: Mapping[str, Any], duration_s: float
) -> dict[str, float | str | None]:
    """The rates of a window; prompts of which nobody knows how much was computed none.

    `outcomes` counts its requests by how they ended.
    """
    known = not outcomes["without_tokens"]
    both = tokens.input + tokens.output
    return {
        "output_tps": ratio(tokens.output, duration_s),
        "input_tps": ratio(tokens.input, duration_s) if known else None,
        "total_tps": ratio(both, duration_s) if known else None,
        "request_rps": ratio(outcomes["completed"], duration_s),
        "mode": "streaming" if kind == "latency" else "batch",
    }


def _latency_metrics(block: Mapping[str, Any]) -> dict[str, float | None]:
    return {
        f"{name.removesuffix('_ms')}_{part}_ms": (block.get(name) or {}).get(part)
        for name, parts in _LATENCY.items()
        for part in parts
    }


def phase_metrics(windows: Sequence[Window]) -> dict[str, float | None]:
    """Of the energy windows if all were cut, else of the latency windows."""
    return pooled_phases([_figures(window) for window in _cut(windows)])


def phase_reasons(windows: Sequence[Window]) -> dict[str, str]:
    """Why each metric of a phase would be null."""
    cut = _cut(windows)
    if not cut:
        told = [w.phases["reason"] for w in windows if w.phases and w.phases["reason"]]
        return dict.fromkeys(_PLACES, told[-1] if told else "no_window")
    nulls = {key: why for w in cut for key, why in (w.phases or {})["nulls"].items()}
    return {name: nulls.get(key, "divisor_is_zero") for name, key in _PLACES.items()}


def index_metrics(
    windows: Sequence[Window],
    sums: Mapping[str, float | None],
    peak_mb: float | None,
) -> dict[str, float | None]:
    """Products and ratios of the sums over the energy windows."""
    energy = [window for window in windows if window.kind == "energy"]
    delays = [(w.latency or {}).get("e2e_ms") or {"n": 0, "mean": 0.0} for w in energy]
    delay_ms = total(one["n"] * one["mean"] for one in delays)
    return indices(
        sums,
        e2e_s=ratio(delay_ms, 1e3 * sum(one["n"] for one in delays)),
        output_tokens=ratio(sum(w.tokens.output for w in energy), len(energy)),
        peak_mb=peak_mb,
    )


def compute_metrics(windows: Sequence[Window]) -> dict[str, float | None]:
    """Of the energy windows; MBU of the latency windows if only these are stamped."""
    energy, latency = (
        pooled_flops([_compute_figures(w) for w in windows if w.kind == kind])
        for kind in ("energy", "latency")
    )
    return energy | {"mbu": latency["mbu"] if energy["mbu"] is None else energy["mbu"]}


def compute_reasons(nulls: Mapping[str, str], energy: str) -> dict[str, str]:
    """Why each metric of operations would be null; `energy` is why there is none."""
    keys = {
        "flops": "total",
        "flops_per_output_token": "per_output_token",
        "flops_per_input_token": "per_input_token",
        "mfu": "mfu",
        "mbu": "mbu",
    }
    found = {
        name: nulls.get(f"windows.flops.{key}", "no_window")
        for name, key in keys.items()
    }
    return found | {"flops_per_joule": nulls.get("windows.flops.total", energy)}


def _cut(windows: Sequence[Window]) -> list[Window]:
    for kind in ("energy", "latency"):
        found = [window for window in windows if window.kind == kind]
        if found and all(w.phases and w.phases["available"] for w in found):
            return found
    return []


def _figures(window: Window) -> PhaseFigures:
    found = window.phases or {}
    prefill, decode = found["prefill"], found["decode"]
    return PhaseFigures(
        prefill_s=prefill["duration_s"],
        prefill_j=prefill["energy_j"],
        input_tokens=prefill["input_tokens"],
        decode_s=decode["duration_s"],
        decode_j=decode["energy_j"],
        output_tokens=decode["output_tokens"],
    )


def _compute_figures(window: Window) -> ComputeFigures:
    found = window.flops or {}
    return ComputeFigures(
        duration_s=window.duration_s,
        input_tokens=window.tokens.input,
        output_tokens=window.tokens.output,
        gross_j=window.energy.gross_j,
        prefill=found.get("prefill"),
        decode=found.get("decode"),
        needed=found.get("needed"),
        peak_flops_per_s=found.get("peak_flops_per_s"),
        decode_bytes=found.get("decode_bytes"),
        decode_s=found.get("decode_duration_s"),
        peak_bytes_per_s=found.get("peak_bytes_per_s"),
    )
