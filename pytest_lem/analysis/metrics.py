"""Every metric's name, unit and direction, and the one place that derives them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_lem.analysis.net import pooled_uncertainty_j


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """A metric of one cycle: its unit, which way is better, and what it is."""

    unit: str
    better: Literal["lower", "higher"] | None
    meaning: str


METRICS: dict[str, MetricInfo] = {
    "energy_per_output_token_j": MetricInfo(
        "J/token", "lower", "gross energy over output tokens"
    ),
    "energy_per_output_token_net_j": MetricInfo(
        "J/token", "lower", "net energy over output tokens"
    ),
    "energy_per_total_token_j": MetricInfo(
        "J/token", "lower", "gross energy over input and output tokens"
    ),
    "energy_per_request_j": MetricInfo(
        "J/request", "lower", "gross energy over completed requests"
    ),
    "tokens_per_joule": MetricInfo(
        "token/J", "higher", "output tokens over gross energy"
    ),
    "edp_js": MetricInfo(
        "J*s", "lower", "energy per request x mean E2E of the same requests"
    ),
    "ed2p_js2": MetricInfo("J*s2", "lower", "energy per request x mean E2E squared"),
    "token_efficiency_index": MetricInfo(
        "token2/(J*s)", "higher", "output tokens/s x output tokens/J"
    ),
    "energy_prefill_per_input_token_j": MetricInfo(
        "J/token", "lower", "energy until first tokens over input tokens"
    ),
    "energy_decode_per_output_token_j": MetricInfo(
        "J/token", "lower", "energy after first tokens over output tokens after them"
    ),
    "prefill_power_w": MetricInfo("W", "lower", "energy over time until first tokens"),
    "decode_power_w": MetricInfo("W", "lower", "energy over time after first tokens"),
    "energy_gross_j": MetricInfo("J", "lower", "energy of the cycle's energy windows"),
    "energy_net_j": MetricInfo("J", "lower", "gross less idle power times time"),
    "energy_uncertainty_j": MetricInfo("J", None, "95 % uncertainty of the gross"),
    "energy_net_uncertainty_j": MetricInfo("J", None, "95 % uncertainty of the net"),
    "energy_cpu_j": MetricInfo("J", "lower", "CPU packages over the energy windows"),
    "energy_ram_j": MetricInfo("J", "lower", "DRAM over the energy windows"),
    "emissions_g_co2e": MetricInfo("g", "lower", "energy x PUE x carbon intensity"),
    "avg_power_w": MetricInfo("W", "lower", "gross energy over the same seconds"),
    "idle_power_w": MetricInfo("W", None, "power without work, state in the record"),
    "output_throughput_tps": MetricInfo(
        "token/s", "higher", "output tokens over window time"
    ),
    "input_throughput_tps": MetricInfo(
        "token/s", "higher", "input tokens over window time"
    ),
    "total_throughput_tps": MetricInfo(
        "token/s", "higher", "input and output tokens over window time"
    ),
    "request_throughput_rps": MetricInfo(
        "request/s", "higher", "completed requests over window time"
    ),
    "prefill_throughput_tps": MetricInfo(
        "token/s", "higher", "input tokens over time until first tokens"
    ),
    "decode_throughput_tps": MetricInfo(
        "token/s", "higher", "output tokens after the first over time after it"
    ),
    "ttft_mean_ms": MetricInfo("ms", "lower", "time to first token, mean"),
    "ttft_p50_ms": MetricInfo("ms", "lower", "time to first token, median"),
    "ttft_p95_ms": MetricInfo("ms", "lower", "time to first token, 95th percentile"),
    "ttft_p99_ms": MetricInfo("ms", "lower", "time to first token, 99th percentile"),
    "tpot_mean_ms": MetricInfo("ms", "lower", "time per output token after the first"),
    "itl_mean_ms": MetricInfo("ms", "lower", "inter-token latency, mean"),
    "itl_p50_ms": MetricInfo("ms", "lower", "inter-token latency, median"),
    "itl_p95_ms": MetricInfo("ms", "lower", "inter-token latency, 95th percentile"),
    "itl_p99_ms": MetricInfo("ms", "lower", "inter-token latency, 99th percentile"),
    "e2e_mean_ms": MetricInfo("ms", "lower", "request sent to its end, mean"),
    "e2e_p50_ms": MetricInfo("ms", "lower", "request sent to its end, median"),
    "e2e_p95_ms": MetricInfo("ms", "lower", "request sent to its end, 95th perc."),
    "goodput_rps": MetricInfo(
        "request/s", "higher", "requests that met every limit over their time"
    ),
    "attainment": MetricInfo("1", "higher", "requests that met every limit over all"),
    "goodput_per_joule": MetricInfo(
        "request/J", "higher", "requests that met every limit over gross energy"
    ),
    "memory_model_mb": MetricInfo("MB", "lower", "device memory after load"),
    "memory_peak_mb": MetricInfo("MB", "lower", "peak device memory in the windows"),
    "tokens_per_gb_vram": MetricInfo(
        "token/GB", "higher", "output tokens of a window over peak device memory"
    ),
    "flops": MetricInfo("FLOP", None, "operations of the energy windows"),
    "flops_per_output_token": MetricInfo(
        "FLOP/token", "lower", "operations after first tokens over output tokens"
    ),
    "flops_per_input_token": MetricInfo(
        "FLOP/token", "lower", "operations of prefill over input tokens"
    ),
    "flops_per_joule": MetricInfo(
        "FLOP/J", "higher", "operations of the energy windows over gross energy"
    ),
    "mfu": MetricInfo(
        "1", "higher", "operations that the requests need over what the GPUs can do"
    ),
    "mbu": MetricInfo(
        "1", "higher", "bytes that decoding must read over what the GPUs can read"
    ),
    "load_duration_s": MetricInfo("s", "lower", "time to load the model"),
    "load_energy_j": MetricInfo("J", "lower", "energy to load the model"),
    "warmup_duration_s": MetricInfo("s", None, "time to warm up"),
    "duration_s": MetricInfo("s", None, "time of the energy windows together"),
    "perplexity": MetricInfo("1", "lower", "of a held-out text, after the windows"),
    "output_perplexity": MetricInfo(
        "1", "lower", "of what a window generated, after the windows"
    ),
}

QUALITIES = ("perplexity", "output_perplexity")
"""What is said of answers, and of nothing that it takes to make them."""

HEADLINES = ("energy_per_output_token_j", "output_throughput_tps")


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFigures:
    """The raw figures of one energy window; energies are None where not measured.

    `requests` are those that completed. `input_tokens` are None where requests failed
    of whose prompts nobody knows how much was computed.
    """

    duration_s: float
    input_tokens: int | None
    output_tokens: int
    requests: int
    gross_j: float | None
    net_j: float | None
    uncertainty_j: float | None
    net_uncertainty_j: float | None = None
    cpu_j: float | None
    dram_j: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseFigures:
    """The raw figures of one window's phases; energies are None where not known.

    `output_tokens` are those of decode: without the first of each request.
    """

    prefill_s: float
    prefill_j: float | None
    input_tokens: int
    decode_s: float
    decode_j: float | None
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeFigures:
    """The raw figures of one window's arithmetic; None where not known.

    `prefill` and `decode` are the operations done, `needed` those that the requests ask
    for by themselves; `decode_bytes` are read in `decode_s`.
    """

    duration_s: float
    input_tokens: int
    output_tokens: int
    gross_j: float | None
    prefill: float | None
    decode: float | None
    needed: float | None
    peak_flops_per_s: float | None
    decode_bytes: float | None
    decode_s: float | None
    peak_bytes_per_s: float | None


def pooled(windows: Sequence[WindowFigures]) -> dict[str, float | None]:
    """The metrics of one cycle from its energy windows: ratios of sums.

    A sum with one missing part does not exist; neither does what is derived from it.
    """
    duration = sum(w.duration_s for w in windows)
    tokens_in = total(w.input_tokens for w in windows)
    tokens_out = sum(w.output_tokens for w in windows)
    tokens_all = None if tokens_in is None else tokens_in + tokens_out
    requests = sum(w.requests for w in windows)
    gross = total(w.gross_j for w in windows)
    net = total(w.net_j for w in windows)
    squares = total(
        None if w.uncertainty_j is None else w.uncertainty_j**2 for w in windows
    )
    widths = [
        (w.uncertainty_j, w.net_uncertainty_j)
        for w in windows
        if w.uncertainty_j is not None and w.net_uncertainty_j is not None
    ]
    whole = bool(windows) and len(widths) == len(windows)
    return {
        "energy_per_output_token_j": ratio(gross, tokens_out),
        "energy_per_output_token_net_j": ratio(net, tokens_out),
        "energy_per_total_token_j": ratio(gross, tokens_all),
        "energy_per_request_j": ratio(gross, requests),
        "tokens_per_joule": ratio(tokens_out, gross),
        "energy_gross_j": gross,
        "energy_net_j": net,
        "energy_uncertainty_j": None if squares is None else squares**0.5,
        "energy_net_uncertainty_j": pooled_uncertainty_j(widths) if whole else None,
        "energy_cpu_j": total(w.cpu_j for w in windows),
        "energy_ram_j": total(w.dram_j for w in windows),
        "avg_power_w": ratio(gross, duration),
        "output_throughput_tps": ratio(tokens_out, duration),
        "input_throughput_tps": ratio(tokens_in, duration),
        "total_throughput_tps": ratio(tokens_all, duration),
        "request_throughput_rps": ratio(requests, duration),
        "duration_s": duration or None,
    }


def pooled_phases(windows: Sequence[PhaseFigures]) -> dict[str, float | None]:
    """The metrics of prefill and decode: ratios of sums over windows that were cut."""
    prefill_s = sum(w.prefill_s for w in windows)
    decode_s = sum(w.decode_s for w in windows)
    tokens_in = sum(w.input_tokens for w in windows)
    tokens_out = sum(w.output_tokens for w in windows)
    prefill_j = total(w.prefill_j for w in windows)
    decode_j = total(w.decode_j for w in windows)
    return {
        "energy_prefill_per_input_token_j": ratio(prefill_j, tokens_in),
        "energy_decode_per_output_token_j": ratio(decode_j, tokens_out),
        "prefill_power_w": ratio(prefill_j, prefill_s),
        "decode_power_w": ratio(decode_j, decode_s),
        "prefill_throughput_tps": ratio(tokens_in, prefill_s),
        "decode_throughput_tps": ratio(tokens_out, decode_s),
    }


def pooled_flops(windows: Sequence[ComputeFigures]) -> dict[str, float | None]:
    """The metrics of arithmetic of one cycle: ratios of sums over its windows."""
    prefill = total(w.prefill for w in windows)
    decode = total(w.decode for w in windows)
    flops = None if prefill is None or decode is None else prefill + decode
    could = total(product(w.peak_flops_per_s, w.duration_s) for w in windows)
    readable = total(product(w.peak_bytes_per_s, w.decode_s) for w in windows)
    return {
        "flops": flops,
        "flops_per_output_token": ratio(decode, sum(w.output_tokens for w in windows)),
        "flops_per_input_token": ratio(prefill, sum(w.input_tokens for w in windows)),
        "flops_per_joule": ratio(flops, total(w.gross_j for w in windows)),
        "mfu": ratio(total(w.needed for w in windows), could),
        "mbu": ratio(total(w.decode_bytes for w in windows), readable),
    }


def indices(
    found: Mapping[str, float | None],
    *,
    e2e_s: float | None,
    output_tokens: float | None,
    peak_mb: float | None,
) -> dict[str, float | None]:
    """Products and ratios of a cycle's metrics with what else is known of it.

    `e2e_s` is the mean over the requests of its energy windows, `output_tokens` are
    those of one such window.
    """
    speed_tps = found["output_throughput_tps"]
    edp_js = product(found["energy_per_request_j"], e2e_s)
    peak_gb = None if peak_mb is None else peak_mb / 1000
    return {
        "edp_js": edp_js,
        "ed2p_js2": product(edp_js, e2e_s),
        "token_efficiency_index": product(speed_tps, found["tokens_per_joule"]),
        "tokens_per_gb_vram": ratio(output_tokens, peak_gb),
    }


def product(one: float | None, other: float | None) -> float | None:
    """The product, or None where either does not exist."""
    return None if one is None or other is None else one * other


def total(values: Iterable[float | None]) -> float | None:
    """The sum, or None if there is nothing to sum or a part is missing."""
    parts = list(values)
    known = [part for part in parts if part is not None]
    return sum(known) if known and len(known) == len(parts) else None


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """The quotient, or None where either does not exist or nothing divides."""
    if numerator is None or not denominator:
        return None
    return numerator / denominator


def emissions_g(energy_j: float, intensity_g_per_kwh: float, pue: float) -> float:
    """Grams of CO2 equivalent of an energy, with both factors given."""
    return energy_j / 3.6e6 * pue * intensity_g_per_kwh
