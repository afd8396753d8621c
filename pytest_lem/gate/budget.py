"""Absolute budgets: what a metric may at most be, or must at least."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.gate.belief import doubts
from pytest_lem.gate.side import Side

BUDGET_KEYS = (
    *(f"max_{name}" for name, info in METRICS.items() if info.better != "higher"),
    *(f"min_{name}" for name, info in METRICS.items() if info.better != "lower"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What an experiment needs, the mean over its cycles, against a budget.

    `exceeded` is above a `max_`, or below a `min_`. `reasons` say why nothing is known.
    """

    experiment: str
    budget: str
    amount: float
    verdict: Literal["pass", "exceeded", "inconclusive"]
    value: float | None
    reasons: Sequence[str] = ()

    @property
    def metric(self) -> str:
        """What the budget is of."""
        return metric_of(self.budget)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "experiment_id": self.experiment,
            "metric": self.metric,
            "budget": self.budget,
            "amount": self.amount,
            "verdict": self.verdict,
            "value": self.value,
            "reasons": list(self.reasons),
        }


def metric_of(budget: str) -> str:
    """The metric in the key of a budget."""
    return budget.partition("_")[2]


def spend(side: Side, budgets: Mapping[str, float]) -> list[Spending]:
    """The verdict on each budget; by numbers that may not be believed there is none."""
    return [_spend(side, key, amount) for key, amount in budgets.items()]


def _spend(side: Side, budget: str, amount: float) -> Spending:
    metric = metric_of(budget)
    summary = side.experiment.summary.get(metric)
    reasons = list(doubts(side, metric))
    value = None if summary is None else summary.value
    verdict: Literal["pass", "exceeded", "inconclusive"] = "inconclusive"
    if not reasons and value is not None:
        over = value > amount if budget.startswith("max_") else value < amount
        verdict = "exceeded" if over else "pass"
    return Spending(
        experiment=side.experiment.id,
        budget=budget,
        amount=amount,
        verdict=verdict,
        value=value,
        reasons=reasons,
    )
