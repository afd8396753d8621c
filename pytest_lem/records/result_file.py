"""The numbers of a result of LLenergyMeasure, as metrics of ours."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_lem.analysis.metrics import ratio

MB_PER_MIB = 1.048576

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The metrics that a result has, why it has not others, and what to know of it."""

    values: dict[str, float | None]
    reasons: dict[str, str]
    flags: set[str]


def figures(result: Json) -> Figures:
    """What the result says in our words."""
    processes: Sequence[Json] = result.get("process_results") or ()
    if len(processes) != (result.get("aggregation") or {}).get("num_processes", 1):
        processes = ()
    reasons: dict[str, str] = {}
    found: dict[str, float | None] = {
        **_work(result, processes, reasons),
        **_energy(result, processes, reasons),
        **_memory(result, processes),
        **_latency(result, processes, reasons),
        "flops": _positive(result.get("total_flops")),
    }
    found |= _derived(found, _tokens(processes, reasons))
    known = {name: value for name, value in found.items() if value is not None}
    return Figures(
        values=dict(known),
        reasons={name: why for name, why in reasons.items() if name not in known},
        flags={*_flags(result, processes)},
    )


def _positive(value: object) -> float | None:
    """A number; None for a 0, which stands there for what was not measured."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number and value > 0 else None  # type: ignore[operator,arg-type]


def _total(processes: Sequence[Json], group: str, key: str) -> float | None:
    """The sum over all processes; None where one of them has none."""
    values = [_positive((one.get(group) or {}).get(key)) for one in processes]
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _tokens(
    processes: Sequence[Json], reasons: dict[str, str]
) -> tuple[float | None, float | None]:
    """Tokens in and out; `total_tokens` is of either, or of both, by version."""
    made = _total(processes, "inference_metrics", "output_tokens")
    given = _total(processes, "inference_metrics", "input_tokens")
    why = "only_total_tokens_in_the_file"
    for name in (
        *("energy_per_output_token_j", "energy_per_output_token_net_j"),
        *("energy_per_total_token_j", "tokens_per_joule", "output_throughput_tps"),
        *("input_throughput_tps", "total_throughput_tps"),
    ):
        reasons.setdefault(name, why)
    return given, made


def _work(
    result: Json, processes: Sequence[Json], reasons: dict[str, str]
) -> dict[str, float | None]:
    """Processes run side by side: their time is that of the slowest."""
    if (result.get("aggregation") or {}).get("num_processes", 1) == 1:
        return {"duration_s": _positive(result.get("total_inference_time_sec"))}
    times = [
        _positive((one.get("inference_metrics") or {}).get("inference_time_sec"))
        for one in processes
    ]
    known = [value for value in times if value is not None]
    if not known or len(known) < len(times):
        reasons["duration_s"] = "time_of_several_processes_not_in_the_file"
        return {}
    return {"duration_s": max(known)}


def _energy(
    result: Json, processes: Sequence[Json], reasons: dict[str, str]
) -> dict[str, float | None]:
    reasons["avg_power_w"] = "time_of_the_energy_not_in_the_file"
    failed = result.get("energy_tracking_failed") or any(
        one.get("energy_tracking_failed") for one in processes
    )
    gross = _positive(result.get("total_energy_j"))
    if failed or gross is None:
        why = "energy_tracking_failed" if failed else "zero_in_the_file"
        names = ("energy_gross_j", "energy_net_j", "energy_per_output_token_j")
        reasons |= dict.fromkeys((*names, "tokens_per_joule"), why)
        return {}
    parts = result.get("energy_breakdown") or {}
    grams = _total(processes, "energy_metrics", "emissions_kg_co2")
    net, idle = result.get("energy_adjusted_j"), result.get("baseline_power_w")
    return {
        "energy_gross_j": gross,
        "energy_net_j": _positive(parts.get("adjusted_j") if net is None else net),
        "idle_power_w": _positive(
            parts.get("baseline_power_w") if idle is None else idle
        ),
        "energy_cpu_j": _total(processes, "energy_metrics", "cpu_energy_j"),
        "energy_ram_j": _total(processes, "energy_metrics", "ram_energy_j"),
        "emissions_g_co2e": None if grams is None else grams * 1e3,
    }


def _memory(result: Json, processes: Sequence[Json]) -> dict[str, float | None]:
    """The files say MB and have MiB."""
    told = (result.get("extended_metrics") or {}).get("memory") or {}
    found: dict[str, float | None] = {}
    for name, key in (
        ("memory_model_mb", "model_memory_mb"),
        ("memory_peak_mb", "peak_memory_mb"),
    ):
        mib = _positive(told.get(key)) or _total(processes, "compute_metrics", key)
        found[name] = None if mib is None else mib * MB_PER_MIB
    return found


def _latency(
    result: Json, processes: Sequence[Json], reasons: dict[str, str]
) -> dict[str, float | None]:
    """Its median and its percentiles of token times are of trimmed times, not ours."""
    told = result.get("latency_stats") or {}
    ended = (result.get("extended_metrics") or {}).get("request_latency") or {}
    names = {
        "ttft_mean_ms": told.get("ttft_mean_ms"),
        "ttft_p50_ms": told.get("ttft_median_ms"),
        "ttft_p95_ms": told.get("ttft_p95_ms"),
        "ttft_p99_ms": told.get("ttft_p99_ms"),
        "itl_mean_ms": told.get("itl_full_mean_ms"),
        "itl_p99_ms": told.get("itl_full_p99_ms"),
        "e2e_mean_ms": ended.get("e2e_latency_mean_ms"),
        "e2e_p50_ms": ended.get("e2e_latency_median_ms"),
        "e2e_p95_ms": ended.get("e2e_latency_p95_ms"),
    }
    if told:
        reasons |= dict.fromkeys(("itl_p50_ms", "itl_p95_ms"), "only_of_trimmed_times")
    if any(mode != "true_streaming" for mode in _modes(processes)):
        stamped = [name for name in names if not name.startswith("e2e")]
        reasons |= dict.fromkeys(stamped, "estimated_in_the_file")
        names |= dict.fromkeys(stamped)
    return {name: _positive(value) for name, value in names.items()}


def _modes(processes: Sequence[Json]) -> Iterator[str]:
    """How times of tokens came about, where the file says so."""
    for one in processes:
        times = (one.get("inference_metrics") or {}).get("latency_measurements")
        if isinstance(times, dict) and "measurement_mode" in times:
            yield str(times["measurement_mode"])


def _derived(
    found: Mapping[str, float | None], tokens: tuple[float | None, float | None]
) -> dict[str, float | None]:
    given, made = tokens
    both = None if given is None or made is None else given + made
    time_s, gross_j = found.get("duration_s"), found.get("energy_gross_j")
    return {
        "energy_per_output_token_j": ratio(gross_j, made),
        "energy_per_output_token_net_j": ratio(found.get("energy_net_j"), made),
        "energy_per_total_token_j": ratio(gross_j, both),
        "tokens_per_joule": ratio(made, gross_j),
        "output_throughput_tps": ratio(made, time_s),
        "input_throughput_tps": ratio(given, time_s),
        "total_throughput_tps": ratio(both, time_s),
        "flops_per_joule": ratio(found.get("flops"), gross_j),
    }


def _flags(result: Json, processes: Sequence[Json]) -> Iterator[str]:
    heat = result.get("thermal_throttle") or {}
    if any(heat.get(key) for key in ("thermal", "sw_thermal", "hw_thermal")):
        yield "throttled_thermal"
    if heat.get("hw_power"):
        yield "throttled_power_brake"
    warmed = result.get("warmup_result") or {}
    if warmed.get("converged") is False:
        yield "warmup_not_converged"
    if any(one.get("gpu_is_mig") for one in processes):
        yield "mig_whole_gpu"
    modelled = ("cpu_energy_j", "ram_energy_j")
    energies = [one.get("energy_metrics") or {} for one in processes]
    if any(_positive(one.get(key)) for one in energies for key in modelled):
        yield "estimated_energy"
