"""How far the windows and the cycles of an experiment spread, metric by metric."""

from collections.abc import Mapping, Sequence

from pytest_lem.analysis.metrics import WindowFigures, pooled
from pytest_lem.analysis.noise import Levels, levels
from pytest_lem.records.record import Cycle, Window

# Metrics that a window has as its cycle does; sums over windows are not among them.
OF_WINDOWS = (
    "energy_per_output_token_j",
    "energy_per_output_token_net_j",
    "energy_per_total_token_j",
    "energy_per_request_j",
    "tokens_per_joule",
    "avg_power_w",
    "output_throughput_tps",
    "input_throughput_tps",
    "total_throughput_tps",
    "request_throughput_rps",
)


def figures(window: Window) -> WindowFigures:
    """The raw figures that metrics are derived from; requests are those completed."""
    outcomes = window.outcomes or {"completed": window.requests, "without_tokens": 0}
    return WindowFigures(
        duration_s=window.duration_s,
        input_tokens=None if outcomes["without_tokens"] else window.tokens.input,
        output_tokens=window.tokens.output,
        requests=outcomes["completed"],
        gross_j=window.energy.gross_j,
        net_j=window.energy.net_j,
        uncertainty_j=window.energy.uncertainty_j,
        net_uncertainty_j=window.energy.net_uncertainty_j,
        cpu_j=window.energy.cpu_j,
        dram_j=window.energy.dram_j,
    )


def window_values(cycle: Cycle, metric: str) -> list[float] | None:
    """The metric of each energy window; None where a window has none."""
    windows = [window for window in cycle.windows if window.kind == "energy"]
    if metric not in OF_WINDOWS or not windows:
        return None
    values = [pooled([figures(window)])[metric] for window in windows]
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None


def spreads(cycles: Sequence[Cycle]) -> Mapping[str, Levels]:
    """The levels of each metric of which every energy window has a value."""
    found = {}
    for name in OF_WINDOWS:
        told = [window_values(one, name) for one in cycles if one.windows]
        known = [values for values in told if values is not None]
        if known and len(known) == len(told):
            found[name] = levels([known])
    return found
