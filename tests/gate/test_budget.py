"""Absolute budgets: above or below, and what may not be believed."""

import pytest

from pytest_lem.gate.budget import BUDGET_KEYS, spend
from pytest_lem.gate.side import sides

ENERGY = "energy_per_output_token_j"
SPEED = "output_throughput_tps"


@pytest.fixture
def spent(make_report):
    """The verdict on a budget, and why there is none."""

    def spent(key, amount, metric=ENERGY, values=(1.0, 1.2), **changed):
        (side,) = sides(make_report(list(values), metric=metric, **changed))
        (one,) = spend(side, {key: amount})
        return one.verdict, one.reasons

    return spent


def test_the_mean_of_the_cycles_is_held_against_the_budget(spent):
    """What costs may be at most so much, what is won must be at least."""
    assert spent(f"max_{ENERGY}", 1.11) == ("pass", [])
    assert spent(f"max_{ENERGY}", 1.09) == ("exceeded", [])
    assert spent(f"min_{SPEED}", 1.09, metric=SPEED) == ("pass", [])
    assert spent(f"min_{SPEED}", 1.11, metric=SPEED) == ("exceeded", [])


@pytest.mark.parametrize("amount", [0.1, 10.0])
def test_energy_that_nobody_measured_is_within_no_budget(spent, amount):
    """Nor beyond one; a time that was measured is."""
    verdict = spent(f"max_{ENERGY}", amount, flags=("estimated_energy",))
    assert verdict == ("inconclusive", ["estimated_energy"])
    assert spent(f"max_{ENERGY}", amount, flags=("throttled_thermal",))[0] != "pass"
    estimated = spent(f"min_{SPEED}", 1.0, metric=SPEED, flags=("estimated_energy",))
    assert estimated[0] == "pass"


def test_random_weights_are_within_no_budget_of_quality(spent):
    """Their perplexity is a number and means nothing; what they cost may be judged."""
    random = {"flags": ("synthetic_perplexity",)}
    assert spent("max_perplexity", 1.5, metric="perplexity") == ("pass", [])
    told = spent("max_perplexity", 1.5, metric="perplexity", **random)
    assert told == ("inconclusive", ["synthetic_perplexity"])
    assert spent(f"max_{ENERGY}", 1.5, **random) == ("pass", [])


def test_there_is_a_budget_of_every_metric_on_its_worse_side():
    """On both where neither is."""
    assert {
        f"max_{ENERGY}",
        f"min_{SPEED}",
        "max_idle_power_w",
        "min_idle_power_w",
    } <= {*BUDGET_KEYS}
    assert not {f"min_{ENERGY}", f"max_{SPEED}"} & {*BUDGET_KEYS}
