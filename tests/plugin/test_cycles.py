"""One test, several cycles: how often bodies run, in which order, told how often."""

import json
import xml.etree.ElementTree as ET

import pytest

THREE = """
import pytest

@pytest.mark.lem
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_it(lem, batch_size, note):
    note(batch_size)
    lem()
"""

FIVE = THREE.replace("[1, 2, 3]", "[1, 2, 3, 4, 5]")


def test_passes_are_interleaved(run, notes):
    """Every experiment runs its first cycle before any runs its second."""
    result = run(THREE, "--lem-cycles=3")
    result.assert_outcomes(passed=3)
    assert notes() == ["1", "2", "3"] * 3


def test_grouped_cycles_follow_one_another(run, notes):
    """In the order `grouped` an experiment ends before the next begins."""
    run(THREE, "--lem-order=grouped").assert_outcomes(passed=3)
    assert notes() == ["1", "1", "2", "2", "3", "3"]


def test_reversed_passes_run_backwards(run, notes):
    """In the order `reversed` every pass begins with the last experiment."""
    run(THREE, "--lem-order=reversed").assert_outcomes(passed=3)
    assert notes() == ["3", "2", "1"] * 2


def test_shuffled_passes_differ_and_repeat_with_the_seed(run, notes, report):
    """`shuffled` draws a new order for each pass, the same ones for the same seed."""
    orders = []
    for seed in (1, 1, 2):
        arguments = ("--lem-order=shuffled", "--lem-cycles=3", f"--lem-seed={seed}")
        run(FIVE, *arguments, "--lem-json=r.json").assert_outcomes(passed=5)
        words = notes()
        orders.append([words[k : k + 5] for k in (0, 5, 10)])
        assert report().plan.seed == seed
    first, again, other = orders
    assert first == again
    assert first != other
    assert all(sorted(one) == ["1", "2", "3", "4", "5"] for one in first)
    assert len({tuple(one) for one in first}) > 1


def test_the_order_really_run_is_in_the_report(run, notes, report):
    """`plan.executed` lists the cycles in the order they ran, with their times."""
    run(THREE, "--lem-order=reversed", "--lem-json=r.json")
    plan = report().plan
    sizes = [one["experiment_id"][-2] for one in plan.executed]
    assert sizes == notes()
    assert [one["cycle"] for one in plan.executed] == [0, 0, 0, 1, 1, 1]
    times = [t for one in plan.executed for t in (one["started_at"], one["ended_at"])]
    assert times == sorted(times)
    assert plan.planned == 6
    assert plan.order == "reversed"


def test_an_experiment_is_reported_once(run, project):
    """Three cycles give one dot, one line under -v and one JUnit test case."""
    result = run(THREE, "--lem-cycles=3")
    assert any(line.startswith("test_it.py ... ") for line in result.outlines)
    result = run(None, "-v", "--junitxml=j.xml")
    told = [line for line in result.outlines if line.startswith("test_it.py::")]
    assert len(told) == 3
    cases = ET.parse(project.path / "j.xml").getroot().iter("testcase")
    assert [case.get("name") for case in cases] == [
        "test_it[fake-1]",
        "test_it[fake-2]",
        "test_it[fake-3]",
    ]


def test_each_cycle_has_a_fresh_engine_shared_within_the_pass(run, report):
    """Experiments of one spec share a worker in a pass; the next pass has another."""
    run(THREE, "--lem-json=r.json")
    pids = [[c.worker["pid"] for c in one.cycles] for one in report().experiments]
    assert len({one[0] for one in pids}) == 1
    assert len({one[1] for one in pids}) == 1
    assert pids[0][0] != pids[0][1]


def test_engines_of_one_spec_are_neighbours(run, notes):
    """Within a pass, experiments with equal engine specs run side by side."""
    source = """
    import pytest

    @pytest.mark.lem
    @pytest.mark.parametrize("batch_size", [1, 2])
    @pytest.mark.parametrize("precision", ["float32", "float16"])
    def test_it(lem, precision, batch_size, note):
        note(f"{precision}-{batch_size}")
        lem()

    @pytest.mark.lem(precision="float32")
    def test_late(lem, note):
        note("late")
        lem()
    """
    run(source, "--lem-cycles=1").assert_outcomes(passed=5)
    assert notes() == [
        "float32-1",
        "float32-2",
        "late",
        "float16-1",
        "float16-2",
    ]


def test_warm_up_runs_before_every_cycle(run, report):
    """First and later cycles start in the same warm state."""
    run(THREE, "--lem-warmup=fixed:2", "--lem-json=r.json")
    for one in report().experiments:
        assert [cycle.warmup.iterations for cycle in one.cycles] == [2, 2]


@pytest.mark.parametrize(
    ("mark", "arguments", "cycles"),
    [("", (), 2), ("cycles=3", (), 3), ("cycles=3", ("--lem-cycles=1",), 1)],
)
def test_cycles_of_marker_beat_ini_and_option_beats_marker(
    run, notes, mark, arguments, cycles
):
    """The number of cycles: ini, then marker, then command line."""
    source = f"""
    import pytest

    @pytest.mark.lem({mark})
    def test_it(lem, note):
        note("body")
        assert len(lem().cycles) == {cycles}
    """
    run(source, *arguments).assert_outcomes(passed=1)
    assert notes() == ["body"] * cycles


def test_experiments_may_have_unequal_numbers_of_cycles(run, notes):
    """An experiment with fewer cycles sits out the later passes."""
    source = """
    import pytest

    @pytest.mark.lem(cycles=1)
    def test_one(lem, note):
        note("one")
        lem()

    @pytest.mark.lem(cycles=3)
    def test_three(lem, note):
        note("three")
        lem()
    """
    run(source).assert_outcomes(passed=2)
    assert notes() == ["one", "three", "three", "three"]


@pytest.mark.parametrize("order", ["interleaved", "grouped"])
def test_other_tests_run_once_and_in_their_place(run, notes, order):
    """A test that measures nothing runs once, beside its neighbours' last cycle."""
    source = """
    import pytest

    def test_before(note):
        note("before")

    @pytest.mark.lem
    def test_lem(lem, note):
        note("lem")
        lem()

    def test_between(note):
        note("between")

    @pytest.mark.lem
    def test_last(lem, note):
        note("last")
        lem()

    def test_after(note):
        note("after")
    """
    result = run(source, "-v", f"--lem-order={order}")
    result.assert_outcomes(passed=5)
    told = [
        line.split()[0] for line in result.outlines if line.startswith("test_it.py::")
    ]
    names = ["before", "lem[fake]", "between", "last[fake]", "after"]
    assert [line.split()[0] for line in told] == [
        f"test_it.py::test_{name}" for name in names
    ]
    early = ["lem", "before", "lem"] if order == "grouped" else ["lem", "last"]
    words = notes()
    assert words[: len(early)] == early
    assert [w for w in words if w not in ("lem", "last")] == [
        "before",
        "between",
        "after",
    ]


def test_a_failed_experiment_is_one_entry_of_last_failed(run, project, notes):
    """--lf keeps one entry for an experiment and runs all its cycles again."""
    source = """
    import pytest

    @pytest.mark.lem
    @pytest.mark.parametrize("batch_size", [1, 2])
    def test_it(lem, batch_size, note):
        note(batch_size)
        lem()
        assert batch_size == 1
    """
    run(source).assert_outcomes(passed=1, failed=1)
    cache = project.path / ".pytest_cache/v/cache/lastfailed"
    assert json.loads(cache.read_text()) == {"test_it.py::test_it[fake-2]": True}
    notes()
    result = run(None, "--lf")
    result.assert_outcomes(failed=1)
    assert notes() == ["2", "2"]
    result.stdout.fnmatch_lines(["lem plan: 1 experiment*, 2 cycles *"])


def test_what_is_deselected_late_is_not_planned(run, project, notes):
    """An item taken out after the plugin saw it is neither counted nor run."""
    project.makeconftest(
        (project.path / "conftest.py").read_text()
        + """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config, items):
    yield
    config.hook.pytest_deselected(items=items[1:])
    del items[1:]
"""
    )
    result = run(THREE)
    result.assert_outcomes(passed=1, deselected=2)
    result.stdout.fnmatch_lines(["lem plan: 1 experiment*, 2 cycles *"])
    assert notes() == ["1", "1"]
