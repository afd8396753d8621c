"""Two clocks related by exchanged stamps, on simulated delays and drifts."""

import random

import pytest

from pytest_lem.analysis.clocks import MOST_DRIFT, Exchange, Relation, relate

OFFSET_S = 123_456.7


def theirs_s(ours_s, drift=0.0):
    return OFFSET_S + ours_s * (1 + drift)


def exchange(asked_s, there_s, back_s, *, held_s=0.0005, drift=0.0):
    """One whose way there and back took that long."""
    taken_s = asked_s + there_s
    answered_s = taken_s + held_s
    return Exchange(
        asked_s=asked_s,
        taken_s=theirs_s(taken_s, drift),
        answered_s=theirs_s(answered_s, drift),
        heard_s=answered_s + back_s,
    )


def exchanges(seed, *, drift=0.0, skew=1.0, long_s=60.0, every_s=0.5):
    """A series whose ways are drawn: seldom quick, and `skew` times as long back."""
    draw = random.Random(seed)
    found, now_s = [], 10.0
    while now_s < 10.0 + long_s:
        way_s = 0.0002 + draw.expovariate(1 / 0.002)
        found.append(exchange(now_s, way_s, skew * way_s, drift=drift))
        now_s += every_s
    return found


def wrong_s(relation, ours_s, drift):
    """How wrong the relation is of an instant."""
    return abs(relation.ours_s(theirs_s(ours_s, drift)) - ours_s)


def test_equal_ways_give_the_offset_and_the_time_on_the_way_the_residual():
    one = exchange(5.0, 0.001, 0.001)
    assert one.offset_s == pytest.approx(OFFSET_S)
    assert one.half_s == pytest.approx(0.001, rel=0.01)


@pytest.mark.parametrize("drift", [0.0, 40e-6, -300e-6])
@pytest.mark.parametrize("skew", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("seed", range(5))
def test_an_instant_is_never_further_off_than_the_residual(drift, skew, seed):
    """However lopsided the ways, between the exchanges and for a while after them."""
    relation = relate(exchanges(seed, drift=drift, skew=skew))
    for ours_s in (10.0, 31.3, 69.5, 75.0):
        off_s = wrong_s(relation, ours_s, drift)
        assert off_s <= relation.residual_s(ours_s) + 1e-9
        assert relation.residual_s(ours_s) < 0.004


def test_the_quickest_way_wins():
    """One quick exchange among slow ones gives a residual like its own."""
    slow = [exchange(10.0 + 0.1 * k, 0.02, 0.001) for k in range(5)]
    relation = relate([*slow, exchange(10.6, 0.0001, 0.0001)])
    assert relation.residual_s(10.6) == pytest.approx(0.0001, rel=0.02)
    assert wrong_s(relation, 10.6, 0.0) < 1e-6


def test_drift_is_told_by_exchanges_apart_and_not_by_those_together():
    """Without it the residual grows as fast as a kernel may slew."""
    apart = relate(exchanges(1, drift=50e-6, every_s=0.05))
    assert 1e6 * apart.drift == pytest.approx(50, abs=15)
    together = relate(exchanges(1, drift=50e-6, long_s=0.5, every_s=0.05))
    assert together.drift == 0
    near_s, far_s = together.residual_s(10.25), together.residual_s(20.25)
    assert far_s - near_s == pytest.approx(10 * MOST_DRIFT, rel=0.1)
    assert wrong_s(together, 20.0, 50e-6) <= far_s


def test_a_clock_that_is_no_line_widens_the_residual():
    """A step of 20 ms in the middle is in what is said of it."""
    moved = [
        Exchange(
            asked_s=one.asked_s,
            taken_s=one.taken_s + step_s,
            answered_s=one.answered_s + step_s,
            heard_s=one.heard_s,
        )
        for one in exchanges(3)
        for step_s in [0.02 if 30 < one.at_s < 50 else 0.0]
    ]
    relation = relate(moved)
    assert relation.residual_s(40.0) > 0.015
    assert relate(exchanges(3)).misfit_s == 0


def test_one_exchange_is_enough_for_an_offset():
    one = exchange(10.0, 0.001, 0.003)
    relation = relate([one])
    assert relation == Relation(first=one, last=one, exchanges=1)
    assert relation.to_json()["residual_s"] == pytest.approx(0.002, rel=0.01)
