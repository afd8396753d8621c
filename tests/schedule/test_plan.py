"""Which cycle of which experiment runs when."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.schedule.order import ORDERS
from pytest_lem.schedule.plan import Entry, Step, estimate_s, make_plan
from pytest_lem.spec.gaps import Gaps


def entry(engine, cycles=3, window_s=1.0):
    return Entry(engine=engine, cycles=cycles, window_s=window_s)


def steps(entries, order, seed=0):
    return [(step.position, step.cycle) for step in make_plan(entries, order, seed)]


def test_the_cycle_is_the_outermost_loop():
    """All experiments run once before any runs again, neighbours side by side."""
    entries = [entry("a", 2), entry("b", 2), entry("a", 2)]
    assert steps(entries, "interleaved") == [
        (0, 0),
        (2, 0),
        (1, 0),
        (0, 1),
        (2, 1),
        (1, 1),
    ]


def test_experiments_with_fewer_cycles_leave_the_later_passes():
    """Positions stay those of the experiments when some have dropped out."""
    entries = [entry("a", 1), entry("b", 3), entry("c", 2)]
    assert steps(entries, "interleaved") == [
        (0, 0),
        (1, 0),
        (2, 0),
        (1, 1),
        (2, 1),
        (1, 2),
    ]
    assert steps(entries, "reversed") == [
        (2, 0),
        (1, 0),
        (0, 0),
        (2, 1),
        (1, 1),
        (1, 2),
    ]


def test_grouped_finishes_an_experiment_before_the_next():
    """Its cycles follow one another; engines are still neighbours."""
    entries = [entry("a", 2), entry("b", 1), entry("a", 2)]
    assert steps(entries, "grouped") == [(0, 0), (0, 1), (2, 0), (2, 1), (1, 0)]


@given(
    entries=st.lists(
        st.builds(entry, st.sampled_from("abc"), cycles=st.integers(1, 5)),
        max_size=8,
    ),
    order=st.sampled_from(ORDERS),
    seed=st.integers(0, 5),
)
def test_every_plan_is_complete(entries, order, seed):
    """Each cycle of each experiment is run exactly once, in order of its cycles."""
    plan = steps(entries, order, seed)
    wanted = [(i, k) for i, one in enumerate(entries) for k in range(one.cycles)]
    assert sorted(plan) == wanted
    if order != "grouped":
        assert [k for _, k in plan] == sorted(k for _, k in plan)
        loads = [key for key, _ in groupby((k, entries[i].engine) for i, k in plan)]
        assert len(loads) == len(set(loads))


def test_no_experiment_is_an_empty_plan():
    """There is nothing to do and nothing to wait for."""
    assert make_plan([], "interleaved", 0) == []
    assert estimate_s([], [], 5.0) == 0.0


def test_the_estimate_counts_a_load_for_each_engine_and_pass():
    """Neighbours share a start and an idle reading; each has warm-up and windows."""
    entries = [entry("a", 2, 3.0), entry("a", 2, 3.0), entry("b", 2, 3.0)]
    plan = make_plan(entries, "interleaved", 0)
    assert estimate_s(entries, plan, 5.0) == pytest.approx(4 * (8 + 5) + 6 * (2 + 3))
    grouped = [Step(position=0, cycle=0), Step(position=0, cycle=1)]
    assert estimate_s(entries, grouped, 0.0) == pytest.approx(2 * 8 + 2 * 5)


def test_the_estimate_counts_waits():
    """A gap in each pass, one between both, a floor after each warm-up."""
    entries = [entry("a", 2), entry("b", 2)]
    plan = make_plan(entries, "interleaved", 0)
    waits = {"floor_s": 5.0, "gaps": Gaps(experiment_s=10.0, cycle_s=100.0)}
    more_s = estimate_s(entries, plan, 0.0, **waits) - estimate_s(entries, plan, 0.0)
    assert more_s == pytest.approx(2 * 10 + 100 + 4 * 5)


@pytest.mark.parametrize(
    ("order", "waits_s"),
    [("interleaved", [0, 1, 1, 9, 1, 1]), ("grouped", [0, 9, 1, 9, 1, 9])],
)
def test_a_gap_is_of_experiments_or_of_cycles(order, waits_s):
    """What comes next with a higher number is another cycle."""
    gaps, before, found = Gaps(experiment_s=1.0, cycle_s=9.0), None, []
    for _, cycle in steps([entry("a", 2), entry("b", 2), entry("c", 2)], order):
        found.append(gaps.before(cycle, before))
        before = cycle
    assert found == waits_s


@given(
    entries=st.lists(
        st.builds(entry, st.sampled_from("abc"), cycles=st.integers(1, 4)), max_size=8
    ),
    order=st.sampled_from(ORDERS),
)
def test_a_plan_by_engine_loads_each_once(entries, order):
    """All passes of one engine, each in the order that it has beside the others."""
    usual = make_plan(entries, order, 1)
    plan = make_plan(entries, order, 1, by_engine=True)
    engines = [entries[step.position].engine for step in plan]
    assert [key for key, _ in groupby(engines)] == list(dict.fromkeys(engines))
    for one in "abc":
        own = [
            [s for s in p if entries[s.position].engine == one] for p in (usual, plan)
        ]
        assert own[0] == own[1]
    loads_s = estimate_s(entries, plan, 5.0, by_engine=True)
    rest_s = sum(one.cycles * (2 + one.window_s) for one in entries)
    assert loads_s - rest_s == pytest.approx(13 * len({*engines}))


@given(
    engines=st.lists(st.sampled_from("abc"), max_size=8),
    order=st.sampled_from(["shuffled", "latin_square"]),
    shift=st.randoms(),
)
def test_what_is_drawn_does_not_depend_on_the_order_of_collection(
    engines, order, shift
):
    """Files may be given in any order, and collected at random."""
    entries = [
        Entry(engine=engine, cycles=2, window_s=1.0, name=f"t.py::test_{k}")
        for k, engine in enumerate(engines)
    ]
    mixed = shift.sample(entries, len(entries))
    told = [
        [(of[step.position].name, step.cycle) for step in make_plan(of, order, 7)]
        for of in (entries, mixed)
    ]
    assert told[0] == told[1]
