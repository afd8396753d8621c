"""What is asked of an experiment's numbers; never part of its identity."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

BUDGET = ("max_", "min_")
DEMAND_KEYS = ("compare_fail",)
DEFAULT_LIMIT = "energy_per_output_token_j:5%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """By how much metrics may be worse than a reference, and their absolute budgets.

    `compare_fail` has texts as `--lem-compare-fail` does; `budgets` has amounts by key,
    `max_METRIC` or `min_METRIC`, in the metric's unit.
    """

    compare_fail: tuple[str, ...] = ()
    budgets: Mapping[str, float] = field(default_factory=dict)


def demands(
    values: Mapping[str, Any], known: Collection[str], problems: list[str]
) -> Demands:
    """What is asked among the values; `known` are the keys of budgets there are."""
    told = values.get("compare_fail", ())
    texts = (told,) if isinstance(told, str) else told
    if not isinstance(texts, list | tuple) or not all(
        isinstance(t, str) for t in texts
    ):
        problems.append(
            f"compare_fail={told!r} is neither METRIC:N% nor a list of such"
        )
        texts = ()
    budgets = {key: values[key] for key in known if key in values}
    for key, amount in budgets.items():
        number = isinstance(amount, int | float) and not isinstance(amount, bool)
        if not (number and isfinite(amount) and amount > 0):
            problems.append(f"{key}={amount!r} is not a finite number above 0")
    return Demands(compare_fail=tuple(texts), budgets=budgets)
