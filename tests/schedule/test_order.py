"""In which order a pass runs: neighbours kept, the same on every machine."""

from collections import Counter
from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.schedule.order import (
    ORDERS,
    derived_seed,
    neighbours,
    turn,
    williams_period,
    williams_row,
)

KEYS = ["a", "b", "a", "c", "b", "a"]

LATIN_42 = [[1, 3, 2, 0], [0, 2, 3, 1], [3, 0, 1, 2], [2, 1, 0, 3]]
DERIVED_AB = 2115565367

some_keys = st.lists(st.sampled_from("abcd"), max_size=12)


def test_equal_engines_come_together_in_order_of_first_appearance():
    """One load serves all experiments of its spec."""
    assert neighbours(KEYS) == [0, 2, 5, 1, 4, 3]


def test_nothing_to_order_is_no_error():
    """A session without experiments has an empty plan."""
    assert neighbours([]) == []
    assert [turn([], order, 0, 0) for order in ORDERS] == [[]] * len(ORDERS)


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


def latin(keys, passes, seed=0):
    return [turn(keys, "latin_square", seed, k) for k in range(passes)]


@pytest.mark.parametrize("n", range(1, 13))
def test_a_williams_design_balances_places_and_predecessors(n):
    """In a period each is equally often in each place, and behind each other one."""
    rows = [williams_row(n, k) for k in range(williams_period(n))]
    times = len(rows) // n
    assert len(rows) == n * times <= 2 * n
    places = Counter((place, one) for row in rows for place, one in enumerate(row))
    pairs = Counter(pair for row in rows for pair in pairwise(row))
    assert places == {(p, x): times for p in range(n) for x in range(n)}
    assert pairs == {(a, b): times for a in range(n) for b in range(n) if a != b}
    assert williams_row(n, len(rows)) == rows[0]


@given(
    n=st.integers(1, 9),
    engines=st.integers(1, 4),
    pairs=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_every_second_pass_of_a_latin_square_undoes_a_steady_drift(
    n, engines, pairs, seed
):
    """After it all experiments of an engine, and all engines, had one mean place."""
    keys = [f"engine {k % engines}" for k in range(n * engines)]
    places = [0] * len(keys)
    for order in latin(keys, 2 * pairs, seed):
        for place, one in enumerate(order):
            places[one] += place
    assert len({*places}) == 1


def test_short_latin_squares_repeat_no_place_and_no_pair():
    """Of an even number of engines, in fewer passes than there are engines."""
    passes = latin([f"engine {k}" for k in range(8)], 5, seed=3)
    for place in range(8):
        assert len({order[place] for order in passes}) == 5
    found = [pair for order in passes for pair in pairwise(order)]
    assert len({*found}) == len(found)


def test_a_latin_square_is_the_same_on_every_platform():
    """A seed in a report says the order for ever, and another one is another order."""
    assert latin(list("abcd"), 4, seed=42) == LATIN_42
    assert latin(list("abcd"), 4, seed=43) != LATIN_42


def test_a_derived_seed_is_of_what_is_measured_alone():
    """Its order does not matter; what is measured does."""
    assert derived_seed(["b", "a"]) == derived_seed(["a", "b"]) == DERIVED_AB
    assert derived_seed(["a", "c"]) != DERIVED_AB
