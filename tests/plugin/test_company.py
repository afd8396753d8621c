"""Experiments beside pytest's own ways of choosing, stopping and showing."""

import re

import pytest

MIXED = """
import pytest

@pytest.mark.lem
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_it(lem, batch_size, note):
    note(batch_size)
    lem()
    assert batch_size != 2

def test_plain(note):
    note("plain")
"""


@pytest.mark.parametrize(
    ("arguments", "ran"),
    [
        (["-k", "fake-3"], ["3", "3"]),
        (["-m", "lem", "-k", "not 2"], ["1", "3", "1", "3"]),
        (["-k", "plain"], ["plain"]),
        (["test_it.py::test_it[fake-1]"], ["1", "1"]),
        (["--deselect=test_it.py::test_it[fake-2]"], ["1", "3", "1", "3", "plain"]),
    ],
)
def test_only_chosen_experiments_run(run, notes, arguments, ran):
    """-k, -m, node ids and --deselect choose experiments as they choose tests."""
    result = run(MIXED, *arguments)
    assert result.ret == pytest.ExitCode.OK
    assert notes() == ran


def test_choosing_none_is_pytests_own_answer(run):
    """Where no test is left the exit code says so."""
    assert run(MIXED, "-k", "nothing").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_exitfirst_stops_after_the_first_failure(run, notes):
    """-x ends the session when the first experiment has failed in its last cycle."""
    result = run(MIXED, "-x")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*stopping after 1 failures*"])
    assert notes() == ["1", "2", "3", "1", "2"]
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_exitfirst_stops_after_an_early_end(run, notes):
    """-x ends the session also where an early cycle ended an experiment."""
    source = MIXED.replace("assert batch_size != 2", "1 / (batch_size - 1)")
    result = run(source, "-x")
    result.assert_outcomes(failed=1)
    assert notes() == ["1"]


def test_maxfail_counts_experiments_not_cycles(run, notes):
    """--maxfail=2 lets one failed experiment pass, however many its cycles."""
    source = MIXED.replace("!= 2", "> 3")
    result = run(source, "--maxfail=2", "--lem-cycles=3")
    result.assert_outcomes(failed=2)
    assert notes() == ["1", "2", "3", "1", "2", "3", "1", "2"]


def test_stepwise_goes_on_where_it_stopped(run, notes):
    """--sw stops at the first failed experiment and begins there the next time."""
    run(MIXED, "--sw").assert_outcomes(passed=1, failed=1)
    notes()
    result = run(None, "--sw")
    result.assert_outcomes(failed=1, deselected=1)
    assert notes() == ["2", "3", "2"]


def test_collect_only_shows_items_and_starts_nothing(run, project, notes):
    """--collect-only lists each experiment once; no engine, no meter, no file."""
    result = run(MIXED, "--collect-only", "-q", "--lem-meter=auto")
    shown = [line for line in result.outlines if line.startswith("test_it.py")]
    assert shown == [
        "test_it.py::test_it[fake-1]",
        "test_it.py::test_it[fake-2]",
        "test_it.py::test_it[fake-3]",
        "test_it.py::test_plain",
    ]
    assert notes() == []
    assert not (project.path / ".lem").exists()


def test_setup_show_tells_fixtures(run):
    """--setup-show works, and the experiment passes as ever."""
    result = run(MIXED, "--setup-show", "-k", "fake-1")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*SETUP    F lem*", "*TEARDOWN F lem*"])


def test_the_short_summary_has_an_experiment_once(run):
    """-rA has one line for each experiment."""
    result = run(MIXED, "-rA", "-k", "fake-1")
    assert sum(line.startswith("PASSED ") for line in result.outlines) == 1


def test_randomly_shuffles_experiments_and_repeats_with_its_seed(run, notes):
    """pytest-randomly decides the order of a pass, and its seed repeats it."""
    source = MIXED.replace("[1, 2, 3]", "[1, 2, 3, 4, 5, 6]")
    orders = []
    for seed in (3, 3, 4):
        result = run(source, "-o", "addopts=", f"--randomly-seed={seed}")
        result.assert_outcomes(passed=6, failed=1)
        orders.append([word for word in notes() if word != "plain"])
    first, again, other = orders
    assert first == again
    assert first != other
    assert first[:6] == first[6:]


def test_a_timeout_ends_its_experiment_only(run, report, notes):
    """pytest-timeout fails the cycle it meets; the engine ends, others go on."""
    source = """
    import pytest

    @pytest.mark.timeout(1)
    @pytest.mark.lem(fake={"hang_at": "generate"})
    def test_hangs(lem, note):
        note("hangs")
        lem()

    @pytest.mark.lem
    def test_works(lem, note):
        note("works")
        lem()
    """
    result = run(source, "--lem-json=r.json")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*Timeout*"])
    assert notes() == ["hangs", "works", "works"]
    hung = report().experiments[0].cycles
    assert [cycle.status for cycle in hung] == ["interrupted"]


def test_when_the_session_s_time_is_over_nothing_more_is_begun(run, report, notes):
    """What runs fails with that reason, the rest is left, and the reports come."""
    source = """
    import pytest

    @pytest.mark.lem(fake={"hang_at": "generate"})
    def test_hangs(lem, note):
        note("hangs")
        lem()

    @pytest.mark.lem
    def test_waits(lem, note):
        note("waits")
        lem()
    """
    options = ("--lem-json=r.json", "--lem-session-timeout=2", "--lem-order=grouped")
    result = run(source, *options)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        [
            "*fake, *: the worker is not done, and the time of the session is over*",
            "*--lem-session-timeout is over*",
        ]
    )
    assert notes() == ["hangs"]
    assert report().session.status == "interrupted"
    (cycle,) = report().experiments[0].cycles
    assert cycle.error.kind == "timeout"


def test_a_worker_that_does_not_start_in_time_ends_its_experiment(run, extend, project):
    """However long its loads and passes may take."""
    extend(
        "\ndef pytest_lem_register_engines(registry):\n"
        "    from pytest_lem.engines.registry import EngineEntry\n"
        "    registry.add(EngineEntry(name='slow', target='slow_engine:Slow'))\n"
    )
    project.makepyfile(slow_engine="import time\ntime.sleep(600)\n")
    source = "def test_it(lem):\n    lem()\n"
    result = run(source, "--lem-backend=slow", "--lem-start-timeout=1")
    result.assert_outcomes(failed=1)
    told = "*slow, hello: the worker took longer than its limit of 1 s; --lem-start-*"
    result.stdout.fnmatch_lines([told])


def test_reruns_are_refused_by_name(run, notes):
    """--reruns with an experiment is a usage error that says why; without, it works."""
    result = run(MIXED, "--reruns=1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*pytest-rerunfailures*--reruns*"])
    assert notes() == []
    run(None, "--reruns=1", "-k", "plain").assert_outcomes(passed=1)


def test_the_flaky_marker_is_refused_by_name(run):
    """The marker of rerunfailures on an experiment is a usage error too."""
    source = MIXED.replace("@pytest.mark.lem", "@pytest.mark.flaky\n@pytest.mark.lem")
    result = run(source)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*flaky marker*"])


def test_pytest_benchmark_lives_in_the_same_session(run, report, monkeypatch):
    """A test that takes `benchmark` runs beside experiments, each with its table."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # it measures in none
    source = """
    import pytest

    @pytest.mark.lem
    def test_lem(lem):
        lem()

    def test_benchmark(benchmark):
        benchmark.pedantic(int, rounds=3)
    """
    result = run(source, "--lem-json=r.json")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["* lem *", "*test_lem*", "* benchmark: 1 tests *"])
    assert len(report().experiments) == 1


@pytest.mark.parametrize("arguments", [[], ["--lem-plan"]])
def test_no_terminal_is_needed(project, arguments):
    """Without pytest's terminal plugin a session runs, and prints nothing."""
    project.makepyfile(test_it=MIXED)
    result = project.runpytest_subprocess("-p", "no:terminal", "-k", "3", *arguments)
    assert result.ret == pytest.ExitCode.OK
    assert result.outlines == []


def test_without_the_plugin_there_is_no_lem(project):
    """-p no:lem takes fixtures and options away."""
    project.makefile(".ini", pytest="[pytest]\n")
    project.makepyfile("def test_it(lem): pass")
    result = project.runpytest_subprocess("-p", "no:lem")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'lem' not found*"])


STRANGERS = """
import pytest

@pytest.fixture(params=["postgres", "sqlite"])
def engine(request):
    return request.param

@pytest.fixture
def meter():
    return 5

def test_engine(engine):
    assert engine in ("postgres", "sqlite")

def test_meter(meter):
    assert meter == 5

def test_nothing():
    pass
"""


@pytest.mark.parametrize(
    "arguments", [["-v"], ["-q"], ["--collect-only"], ["-v", "-x"]]
)
def test_other_peoples_fixtures_and_tests_are_untouched(project, arguments):
    """A project without experiments has the same output with and without us."""
    project.makefile(".ini", pytest="[pytest]\n")
    project.makeconftest("")
    project.makepyfile(STRANGERS)
    outputs = []
    for plugin in (["-p", "no:lem"], []):
        result = project.runpytest_subprocess(
            "-p", "no:randomly", *plugin, *arguments, "-p", "no:cacheprovider"
        )
        assert result.ret == pytest.ExitCode.OK
        lines = [line for line in result.outlines if not line.startswith("plugins:")]
        outputs.append([re.split(r" in \d+\.", line)[0].strip("= ") for line in lines])
    assert outputs[0] == outputs[1]
    assert not (project.path / ".lem").exists()


def test_a_project_may_shadow_lem(run, project):
    """A project's own `lem` fixture is its own: no backend, no plan."""
    source = """
    import pytest

    @pytest.fixture
    def lem():
        return "Stanislaw"

    def test_it(lem):
        assert lem == "Stanislaw"
    """
    result = run(source, "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["test_it.py::test_it PASSED*"])
    result.stdout.no_fnmatch_line("lem plan*")
