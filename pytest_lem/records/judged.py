"""How good an experiment's answers are, from its cycles."""

from collections.abc import Sequence

from pytest_lem.records.quality import CycleQuality, Quality
from pytest_lem.records.record import Cycle


def quality_of(cycles: Sequence[Cycle], nulls: dict[str, str]) -> Quality:
    """That of the last of complete cycles; why a value is null goes to `nulls`."""
    last = cycles[-1] if cycles else None
    told = last.quality if last else CycleQuality()
    for name, one in told:
        key = f"quality.{name}"
        if one is not None and one.value is not None:
            nulls.pop(key, None)
        else:
            reasons = last.nulls if last else {}
            nulls[key] = reasons.get(key, "no_complete_cycle")
    known = any(one is not None for _, one in told)
    synthetic = bool(last and last.model.get("synthetic_weights"))
    return Quality(**dict(told), synthetic=synthetic if known else None)
