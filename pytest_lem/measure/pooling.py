"""The metrics of a cycle, pooled over its windows, and why those are null that are."""

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_lem.analysis.latency import batched, streamed
from pytest_lem.analysis.metrics import QUALITIES, emissions_g
from pytest_lem.measure.certainty import UNCERTAIN, uncertain
from pytest_lem.measure.laboratory import Laboratory
from pytest_lem.measure.notebook import Notebook
from pytest_lem.measure.window import stamps
from pytest_lem.records.derived import (
    GOODPUT,
    compute_reasons,
    phase_reasons,
    window_metrics,
)
from pytest_lem.records.record import WarmupRecord, Window


def cycle_metrics(
    lab: Laboratory,
    notes: Notebook,
    windows: Sequence[Window],
    load: Mapping[str, float | None],
    warmup: WarmupRecord | None,
    *,
    latency: Mapping[str, Any] | None,
    served: Mapping[str, Any] | None,
) -> dict[str, float | None]:
    """Every metric of the cycle; reasons and flags go to its notes.

    `latency` and `served` are as `cycle_latency` and `cycle_goodput` have them.
    """
    idle = notes.idle.watts() if notes.idle else None
    memory = notes.bench.loaded.memory if notes.bench else {}
    metrics = {
        **window_metrics(windows, latency, served),
        "idle_power_w": idle.power_w if idle else None,
        "load_duration_s": load["duration_s"],
        "load_energy_j": load["energy_j"],
        "warmup_duration_s": warmup.duration_s if warmup else None,
        "memory_model_mb": memory.get("model_mb"),
        **{name: one and one.value for name, one in notes.quality},
    }
    energy_j = metrics["energy_gross_j"]
    half_width_j = metrics["energy_uncertainty_j"]
    if uncertain(energy_j, half_width_j, lab.conditions.max_uncertainty_pct):
        notes.flags.add(UNCERTAIN)
    metrics["emissions_g_co2e"] = _emissions(lab, metrics["energy_gross_j"])
    notes.nulls |= _reasons(notes, windows, metrics, served)
    return metrics


def _emissions(lab: Laboratory, energy_j: float | None) -> float | None:
    intensity = lab.conditions.carbon_intensity_g_per_kwh
    if energy_j is None or intensity is None:
        return None
    return emissions_g(energy_j, intensity, lab.conditions.pue)


def cycle_latency(notes: Notebook) -> dict[str, Any] | None:
    """Latency over the requests of all latency windows, or of all where none is one."""
    streaming = [run for run in notes.passes if run.kind == "latency"]
    requests = [one for run in streaming or notes.passes for one in stamps(run)]
    if not requests:
        return None
    return streamed(requests) if streaming else batched(requests)


def _reasons(
    notes: Notebook,
    windows: Sequence[Window],
    metrics: Mapping[str, float | None],
    served: Mapping[str, Any] | None,
) -> dict[str, str]:
    """Why each metric that does not exist does not, by what it is made from."""
    known = metrics["energy_gross_j"] is not None
    energy = notes.nulls.get("windows.energy.gross_j", "no_window")
    energy = "divisor_is_zero" if known else energy
    idle = notes.nulls.get("idle", "no_idle_reading")
    net = notes.nulls.get("windows.energy.net_j", "not_stated_by_meter")
    net = net if known else energy
    on_cpu = notes.bench is not None and notes.bench.devices == {"cpu"}
    memory = "no_device_memory" if on_cpu else "not_reported_by_engine"
    exceptions = {
        **phase_reasons(windows),
        **compute_reasons(notes.nulls, energy),
        **dict.fromkeys(GOODPUT, _not_good(notes, served)),
        **{name: notes.nulls.get(f"quality.{name}") for name in QUALITIES},
        **dict.fromkeys(("edp_js", "ed2p_js2"), energy),
        "token_efficiency_index": energy,
        "tokens_per_gb_vram": memory,
        "energy_per_output_token_net_j": net,
        "energy_net_j": net,
        "energy_net_uncertainty_j": net,
        "energy_uncertainty_j": "not_stated_by_meter" if known else energy,
        "idle_power_w": idle,
        "energy_cpu_j": "no_cpu_meter",
        "energy_ram_j": "no_dram_meter",
        "emissions_g_co2e": "no_carbon_intensity" if known else energy,
        **_of_prompts(windows),
        "load_energy_j": notes.nulls.get("load.energy_j", "not_loaded"),
        "load_duration_s": notes.nulls.get("load.duration_s", "not_loaded"),
        "memory_model_mb": "not_reported_by_engine",
        "memory_peak_mb": memory,
        "warmup_duration_s": "no_warmup",
    }
    return {
        name: exceptions.get(name) or _reason(notes, name, energy)
        for name, value in metrics.items()
        if value is None
    }


def _not_good(notes: Notebook, served: Mapping[str, Any] | None) -> str:
    """Why there is no goodput, or none per joule."""
    if served is None:
        return notes.nulls["goodput"]
    return served["reason"] or "divisor_is_zero"


def _of_prompts(windows: Sequence[Window]) -> dict[str, str]:
    """What needs all prompts, where nobody knows how much of some was computed."""
    names = ("energy_per_total_token_j", "input_throughput_tps", "total_throughput_tps")
    outcomes = [w.outcomes for w in windows if w.kind == "energy" and w.outcomes]
    lacking = any(one["without_tokens"] for one in outcomes)
    return dict.fromkeys(names, "failed_without_tokens") if lacking else {}


def _reason(notes: Notebook, name: str, energy: str) -> str:
    if name.startswith(("ttft_", "tpot_", "itl_")):
        if not notes.experiment.workload.streaming:
            return "not_streaming"
        seen = any(run.kind == "latency" for run in notes.passes)
        return "too_few_tokens" if seen else "no_window"
    return energy if "joule" in name or "energy" in name else "no_window"
