"""A cycle's metrics that take more than the sums of its energy windows."""

from collections.abc import Mapping, Sequence

from pytest_lem.analysis.metrics import (
    ComputeFigures,
    PhaseFigures,
    indices,
    pooled_flops,
    pooled_phases,
    ratio,
    total,
)
from pytest_lem.records.record import Window

# Where a window has each metric of a phase.
_PLACES = {
    "energy_prefill_per_input_token_j": "prefill.energy_per_input_token_j",
    "energy_decode_per_output_token_j": "decode.energy_per_output_token_j",
    "prefill_power_w": "prefill.power_w",
    "decode_power_w": "decode.power_w",
    "prefill_throughput_tps": "prefill.input_tps",
    "decode_throughput_tps": "decode.output_tps",
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
