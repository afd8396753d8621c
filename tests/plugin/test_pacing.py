"""What runs when, and what is waited for between: from the front door."""

import pytest

FOUR = """
import pytest

@pytest.mark.lem
@pytest.mark.parametrize("batch_size", [1, 2, 3, 4])
def test_it(lem, batch_size, note):
    note(batch_size)
    lem()
"""
SLOW = """
import pytest

@pytest.mark.lem
@pytest.mark.parametrize("batch_size", [1, 2])
def test_it(lem, batch_size, note):
    note(batch_size)
    lem()
"""


def test_a_latin_square_puts_each_experiment_in_each_place(run, notes, report):
    """Four cycles of four experiments, and the seed of the order is in the report."""
    arguments = ("--lem-order=latin_square", "--lem-cycles=4", "--lem-order-seed=plan")
    run(FOUR, *arguments, "--lem-json=r.json").assert_outcomes(passed=4)
    words = notes()
    passes = [words[k : k + 4] for k in range(0, 16, 4)]
    for place in range(4):
        assert {one[place] for one in passes} == {"1", "2", "3", "4"}
    assert passes[1] == passes[0][::-1]
    plan = report().plan
    assert (plan.order, plan.seed_source) == ("latin_square", "plan")
    run(None, *arguments, "--lem-json=again.json")
    assert report("again.json").plan.seed == plan.seed
    assert notes() == words


def test_gaps_are_announced_kept_and_noted(run, report):
    """The header has them, the estimate counts them, each cycle says what it waited."""
    gaps = ("--lem-gap=0.02", "--lem-cycle-gap=0.05")
    result = run(SLOW, *gaps, "--lem-json=r.json")
    result.assert_outcomes(passed=2)
    told = "lem plan: 2 *, 4 cycles interleaved, gaps 0.02 s, between cycles 0.05 s, *"
    result.stdout.fnmatch_lines([told])
    plan = report().plan
    assert (plan.gap_s, plan.cycle_gap_s) == (0.02, 0.05)
    first, second = report().experiments
    assert [one.timing["gap_s"] for one in first.cycles] == [0.0, 0.05]
    assert [one.timing["gap_s"] for one in second.cycles] == [0.02, 0.02]
    long = run(None, "--lem-plan", "--lem-gap=3600", "--lem-cycle-gap=7200")
    long.stdout.fnmatch_lines(["estimated time: 4.0 h *"])


def test_ctrl_c_ends_a_gap(run, project, notes, report):
    """What was measured is in the report, and nothing more is begun."""
    source = SLOW.replace(
        "    lem()",
        "    if batch_size == 2:\n"
        "        stop = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "        threading.Timer(0.3, stop).start()\n"
        "    lem()",
    )
    source = "import os, signal, threading\n" + source.lstrip()
    with pytest.raises(KeyboardInterrupt):
        run(source, "--lem-gap=600", "--lem-json=r.json")
    assert notes() == ["1", "2"]
    told = [one.cycles for one in report().experiments]
    assert [[one.status for one in of] for of in told] == [
        ["complete"],
        ["interrupted"],
    ]
    assert report().session.status == "interrupted"
