"""What ends an experiment early, and what only its last cycle decides."""

import pytest


def test_an_assertion_of_an_early_cycle_is_held_back(run, notes):
    """What is asserted of few cycles is judged on all of them."""
    source = """
    import pytest

    @pytest.mark.lem
    def test_it(lem, note):
        note("body")
        assert len(lem().cycles) == 3
    """
    result = run(source, "--lem-cycles=3")
    result.assert_outcomes(passed=1)
    assert notes() == ["body"] * 3
    result.stdout.no_fnmatch_line("*AssertionError*")


def test_an_assertion_of_the_last_cycle_fails_the_test_once(run, notes):
    """The last cycle's assertion is reported, as a failure and once."""
    source = """
    import pytest

    @pytest.mark.lem
    def test_it(lem, note):
        note("body")
        assert len(lem().cycles) < 1
    """
    result = run(source, "-rf")
    result.assert_outcomes(failed=1)
    assert notes() == ["body"] * 2
    assert sum(line.startswith("FAILED ") for line in result.outlines) == 1
    result.stdout.fnmatch_lines(["*assert 2 < 1*"])
    result.stdout.no_fnmatch_line("*assert 1 < 1*")
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("order", ["interleaved", "grouped", "reversed"])
def test_an_error_of_an_early_cycle_ends_its_experiment_only(run, notes, report, order):
    """Any other exception is reported at once and once; the others go on."""
    source = """
    import pytest

    @pytest.mark.lem
    @pytest.mark.parametrize("batch_size", [1, 2, 3])
    def test_it(lem, batch_size, note):
        note(batch_size)
        lem()
        if batch_size == 2:
            raise ValueError("no such thing")
    """
    result = run(
        source, f"--lem-order={order}", "--lem-cycles=3", "-rA", "--lem-json=r.json"
    )
    result.assert_outcomes(passed=2, failed=1)
    words = notes()
    assert [words.count(size) for size in "123"] == [3, 1, 3]
    told = [line for line in result.outlines if line.startswith("FAILED ")]
    assert len(told) == 1
    assert "ValueError: no such thing" in told[0]
    assert [len(one.cycles) for one in report().experiments] == [3, 1, 3]


STACKED = """
import pytest

@pytest.fixture(scope="module", autouse=True)
def stack(note):
    note("NAME-up")
    yield
    note("NAME-down")

@pytest.fixture
def own(note):
    note("own-up")
    yield
    note("own-down")

@pytest.mark.lem
def test_it(lem, own, note):
    note("NAME-body")
    lem()
    BODY
"""


def stacked(name, body="pass"):
    """A module with a fixture of its own and one experiment."""
    return STACKED.replace("NAME", name).replace("BODY", body)


def test_fixtures_between_modules_come_and_go_in_each_pass(project, run, notes):
    """Module fixtures last for one pass, function fixtures for one cycle."""
    project.makepyfile(test_a=stacked("a"), test_b=stacked("b"))
    run().assert_outcomes(passed=2)
    one = ["NAME-up", "own-up", "NAME-body", "own-down", "NAME-down"]
    pass_ = [w.replace("NAME", name) for name in "ab" for w in one]
    assert notes() == pass_ * 2


def test_a_module_fixture_stays_up_between_cycles_of_the_same_item(run, notes):
    """Between two cycles of one item its function fixtures go down, no others."""
    run(stacked("a"), "--lem-order=grouped").assert_outcomes(passed=1)
    one = ["own-up", "a-body", "own-down"]
    assert notes() == ["a-up", *one, *one, "a-down"]


@pytest.mark.parametrize("order", ["interleaved", "grouped"])
def test_the_stack_is_right_after_an_early_end(project, run, notes, order):
    """After an early end the fixtures of its module go down before another's rise."""
    project.makepyfile(
        test_a=stacked("a", "raise ValueError"),
        test_b=stacked("b"),
        test_c="""
    import pytest

    def test_plain(note):
        note("plain")
    """,
    )
    result = run(None, f"--lem-order={order}")
    result.assert_outcomes(passed=2, failed=1)
    first = ["a-up", "own-up", "a-body", "own-down", "a-down"]
    once = ["own-up", "b-body", "own-down"]
    rest = ["b-up", *once, *once, "b-down", "plain"]
    assert notes() == [*first, *rest]


def test_an_early_end_of_the_only_experiment_tears_all_down(run, notes):
    """Where nothing follows an early end, nothing is left standing."""
    run(stacked("a", "raise ValueError")).assert_outcomes(failed=1)
    assert notes() == ["a-up", "own-up", "a-body", "own-down", "a-down"]


@pytest.mark.parametrize(
    ("when", "outcome"),
    [("setup", {"errors": 1}), ("teardown", {"passed": 1, "errors": 1})],
)
def test_a_fixture_that_fails_in_an_early_cycle_ends_the_experiment(
    run, notes, when, outcome
):
    """Errors of fixtures are told as pytest tells them, and once."""
    source = f"""
    import pytest

    @pytest.fixture
    def shaky(note):
        note("up")
        assert {when!r} != "setup"
        yield
        assert {when!r} != "teardown"

    @pytest.mark.lem
    def test_it(lem, shaky):
        lem()
    """
    result = run(source, "--lem-cycles=3")
    result.assert_outcomes(**outcome)
    assert notes() == ["up"]


def test_skip_in_the_body_skips_once(run, notes):
    """pytest.skip ends the experiment: one skip, no further cycle."""
    source = """
    import pytest

    @pytest.mark.lem
    def test_it(lem, note):
        note("body")
        pytest.skip("not today")
    """
    result = run(source, "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED [[]1] *not today"])
    assert notes() == ["body"]
    assert result.ret == pytest.ExitCode.OK


def test_a_skip_mark_starts_no_engine(run, project):
    """A test that is skipped before its body costs no worker."""
    source = """
    import pytest

    @pytest.mark.skip(reason="never")
    @pytest.mark.lem
    def test_it(lem):
        lem()
    """
    run(source).assert_outcomes(skipped=1)
    assert not [*(project.path / ".lem").rglob("worker-*.log")]


XFAIL = """
import pytest

@pytest.mark.xfail(strict={strict})
@pytest.mark.lem
def test_it(lem, note):
    note("body")
    assert len(lem().cycles) {condition}
"""


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("condition", "passes"), [("== 2", True), ("== 1", False), ("> 2", False)]
)
def test_xfail_is_judged_in_the_last_cycle(run, notes, strict, condition, passes):
    """Whether an expected failure came is asked once, of the pooled result."""
    result = run(XFAIL.format(strict=strict, condition=condition))
    if not passes:
        result.assert_outcomes(xfailed=1)
    elif strict:
        result.assert_outcomes(failed=1)
    else:
        result.assert_outcomes(xpassed=1)
    assert notes() == ["body", "body"]


def test_xfail_called_in_the_body_ends_the_experiment(run, notes):
    """pytest.xfail is no assertion of a number: told once, no further cycle."""
    source = """
    import pytest

    @pytest.mark.lem
    def test_it(lem, note):
        note("body")
        pytest.xfail("known")
    """
    run(source).assert_outcomes(xfailed=1)
    assert notes() == ["body"]


def test_a_test_that_never_measures_fails(run, notes):
    """Taking `lem` without calling it is a failure that says so."""
    source = """
    import pytest

    @pytest.mark.lem
    def test_it(lem, note):
        note("body")
    """
    result = run(source)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*took the `lem` fixture and never called lem()*"])
    assert notes() == ["body"]


def test_measuring_twice_is_an_error(run, report):
    """A second lem() in a body fails; what the first one measured is kept."""
    source = """
    import pytest

    @pytest.mark.lem
    def test_it(lem):
        lem()
        lem()
    """
    result = run(source, "--lem-json=r.json")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*lem() was called twice*"])
    assert [c.status for c in report().experiments[0].cycles] == ["complete"]


def test_record_property_of_silent_cycles_is_not_repeated(run, project):
    """A property recorded in every cycle is in the JUnit report once."""
    source = """
    import pytest

    @pytest.mark.lem
    def test_it(lem, record_property):
        record_property("seen", len(lem().cycles))
    """
    run(source, "--junitxml=j.xml", "-o", "junit_family=legacy")
    assert (project.path / "j.xml").read_text().count('name="seen" value="2"') == 1
    assert 'name="seen" value="1"' not in (project.path / "j.xml").read_text()
