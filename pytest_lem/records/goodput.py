"""Goodput over all requests of an experiment, with the interval of their share."""

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_lem.analysis.goodput import pooled
from pytest_lem.records.record import Cycle

_WHOLE = ("requests", "good", "attainment_low", "attainment_high")
_PART = {
    "steady_rps": "goodput_rps",
    "steady_attainment": "attainment",
    "steady_attainment_low": "attainment_low",
    "steady_attainment_high": "attainment_high",
    "steady_per_joule": "goodput_per_joule",
}
GOODPUT = (*_WHOLE, *_PART)


def pooled_goodput(cycles: Sequence[Cycle]) -> dict[str, Any]:
    """Counts and share of the whole, rates and share of the steady parts.

    All null where a cycle has none.
    """
    blocks = [one.goodput for one in cycles if one.goodput is not None]
    blocks = blocks if len(blocks) == len(cycles) else []
    whole, part = pooled(blocks), pooled([one["steady"] for one in blocks])
    found = {name: whole[name] for name in _WHOLE}
    return found | {name: part[key] for name, key in _PART.items()}


def no_goodput(name: str, cycles: Sequence[Cycle], nulls: Mapping[str, str]) -> str:
    """Why one of them is null: what the cycles say, of the whole or the steady part."""
    blocks = [one.goodput for one in cycles if one.goodput is not None]
    told = [one["steady"] if name.startswith("steady_") else one for one in blocks]
    reasons = [one["reason"] for one in told if one["reason"]]
    return reasons[0] if reasons else nulls.get("goodput", "divisor_is_zero")
