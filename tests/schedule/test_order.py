"""In which order a pass runs: neighbours kept, the same on every machine."""

from collections import Counter
from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.schedule.order import ORDERS, neighbours, turn

KEYS = ["a", "b", "a", "c", "b", "a"]

some_keys = st.lists(st.sampled_from("abcd"), max_size=12)


def test_equal_engines_come_together_in_order_of_first_appearance():
    """One load serves all experiments of its spec."""
    assert neighbours(KEYS) == [0, 2, 5, 1, 4, 3]


def test_nothing_to_order_is_no_error():
    """A session without experiments has an empty plan."""
    assert neighbours([]) == []
    assert [turn([], order, 0, 0) for order in ORDERS] == [[], [], [], []]


@pytest.mark.parametrize("order", ["interleaved", "grouped"])
def test_interleaved_passes_are_all_alike(order):
    """The order of collection, but for neighbours."""
    assert turn(KEYS, order, 1, 0) == turn(KEYS, order, 2, 5) == neighbours(KEYS)


def test_reversed_is_the_other_way_round():
    """The last experiment comes first."""
    assert turn(KEYS, "reversed", 0, 0) == [3, 4, 1, 5, 2, 0]


@given(
    keys=some_keys, order=st.sampled_from(ORDERS), seed=st.integers(), k=st.integers()
)
def test_every_pass_is_a_permutation_with_neighbours_kept(keys, order, seed, k):
    """Nothing is left out or run twice, and no engine is loaded twice in a pass."""
    found = turn(keys, order, seed, k)
    assert sorted(found) == list(range(len(keys)))
    loads = [key for key, _ in groupby(keys[i] for i in found)]
    assert len(loads) == len(set(keys))


@pytest.mark.parametrize(
    ("cycle", "expected"),
    [
        (0, [4, 1, 2, 5, 0, 3]),
        (1, [3, 4, 1, 0, 2, 5]),
        (2, [4, 1, 0, 5, 2, 3]),
    ],
)
def test_a_shuffled_order_is_the_same_on_every_platform(cycle, expected):
    """A seed in a report says the order for ever."""
    assert turn(KEYS, "shuffled", 42, cycle) == expected


def test_a_shuffled_order_differs_between_passes_and_seeds():
    """Drift in time does not always hit the same experiment."""
    keys = [f"engine {k}" for k in range(8)]
    passes = [turn(keys, "shuffled", 7, k) for k in range(6)]
    assert all(a != b for a, b in pairwise(passes))
    assert turn(keys, "shuffled", 8, 0) != passes[0]
    assert turn(keys, "shuffled", 7, 0) == passes[0]


def test_experiments_of_one_engine_are_shuffled_too():
    """Sharing a load is no reason to always come first."""
    first = {turn(["same"] * 5, "shuffled", 0, k)[0] for k in range(40)}
    assert first == {0, 1, 2, 3, 4}


def test_no_engine_is_favoured():
    """Over many passes each engine comes first about as often."""
    firsts = Counter(turn(list("abcd"), "shuffled", 0, k)[0] for k in range(400))
    assert all(60 < firsts[i] < 140 for i in range(4))
