"""A cycle's metrics that take more than the sums of its energy windows."""

from collections.abc import Mapping, Sequence

from pytest_lem.analysis.metrics import (
    PhaseFigures,
    indices,
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
