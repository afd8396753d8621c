"""How sure an experiment's percentiles are: the ends of their intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_lem.analysis.metrics import ratio, total
from pytest_lem.records.record import Cycle

NAMES = {
    "ttft": ("p50", "p95", "p99"),
    "itl": ("p50", "p95", "p99"),
    "e2e": ("p50", "p95"),
}


def interval_names(kind: str, part: str) -> tuple[str, str]:
    """What the ends of a percentile's interval are called."""
    return f"{kind}_{part}_low_ms", f"{kind}_{part}_high_ms"


def percentile_ends(cycles: Sequence[Cycle]) -> dict[str, Any]:
    """Both ends for each percentile, mean over cycles, as the percentile itself is.

    So it lies between them. Null where a cycle has none; `unsupported` names the
    percentiles that some cycle has too few values for.
    """
    found: dict[str, Any] = {}
    weak = set()
    for kind, parts in NAMES.items():
        blocks = [_block(cycle, kind) for cycle in cycles]
        for part in parts:
            names = interval_names(kind, part)
            for end, name in zip(("low", "high"), names, strict=True):
                values = [one.get(f"{part}_{end}") for one in blocks]
                found[name] = ratio(total(values), len(values))
            if any(part in one.get("unsupported", ()) for one in blocks):
                weak.add(f"{kind}_{part}_ms")
    known = any(cycle.latency for cycle in cycles)
    return {**found, "unsupported": sorted(weak) if known else None}


def _block(cycle: Cycle, kind: str) -> Mapping[str, Any]:
    return (cycle.latency or {}).get(f"{kind}_ms") or {}
