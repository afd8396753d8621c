"""Going on with a session that ended early: what runs, is told, is refused."""

import hashlib
import json

import pytest

# Is interrupted in the run with the number that the project's file says.
SOURCE = """
from pathlib import Path
import pytest

def stop():
    path = Path(__file__).with_name("stop.txt")
    left = path.read_text() if path.exists() else 0
    path.write_text(f"{int(left) - 1}")
    if int(left) == 1:
        raise KeyboardInterrupt

@pytest.mark.lem
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_it(lem, batch_size, note):
    note(batch_size)
    result = lem()
    stop()
    assert batch_size != 2 or len(result.cycles) == 1, "two is too many"
"""

IDS = [f"test_it.py::test_it[fake-{k}]" for k in (1, 2, 3)]


@pytest.fixture
def stopped(project, run):
    """Run the project until it is stopped in its run number `after`."""

    def stopped(after, *arguments, source=SOURCE):
        project.makepyfile(test_it=source)
        (project.path / "stop.txt").write_text(f"{after}")
        return project.runpytest_inprocess(*arguments, no_reraise_ctrlc=True)

    return stopped


@pytest.fixture
def folder(project):
    """The folder of the one session there is."""

    def folder():
        (found,) = (project.path / ".lem" / "sessions").iterdir()
        return found

    return folder


def steps(record):
    """Which cycles of which experiments a record counts, in the order they began."""
    cycles = [(c.started_at, e.id, c) for e in record.experiments for c in e.cycles]
    assert all(cycle.status == "complete" for _, _, cycle in cycles)
    return [(name, c.index) for _, name, c in sorted(cycles, key=lambda one: one[:2])]


def test_a_session_goes_on_where_it_was(stopped, run, notes, report, folder):
    """Only what is missing runs; the one report has cycles and order as planned."""
    stopped(5)
    assert notes() == ["1", "2", "3", "1", "2"]
    plan = (folder() / "plan.json").resolve()
    assert (folder().parents[1] / "plan.json").resolve() == plan
    result = run(None, f"--lem-resume={folder().name}", "--lem-json=r.json", "-rf")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["lem resume: session *, 4 of 6 cycles done, *"])
    assert notes() == ["2", "3"]
    record = report()
    assert steps(record) == [(name, cycle) for cycle in (0, 1) for name in IDS]
    assert record.session.id == folder().name
    assert len(record.plan.resumed) == 1
    statuses = [one["status"] for one in record.plan.executed]
    assert statuses == ["complete"] * 4 + ["interrupted"] + ["complete"] * 2
    told = json.loads(plan.read_text())["plan"]["steps"]
    assert [one["tries"] for one in told] == [1, 1, 1, 1, 2, 1]
    assert {one["status"] for one in told} == {"completed"}


def test_tests_that_had_ended_are_told_and_not_run(stopped, run, notes, report):
    """As passed or failed as they were, before the others run."""
    stopped(6)
    notes()
    result = run(None, "--lem-resume", "--lem-json=r.json", "-v", "-rf")
    result.assert_outcomes(passed=2, failed=1)
    assert notes() == ["3"]
    result.stdout.fnmatch_lines(
        [
            "*test_it?fake-1? PASSED*2 cycles, from the earlier session*",
            "*test_it?fake-2? FAILED*",
            "*test_it?fake-3? PASSED*2 cycles*",
            "*two is too many*",
            "*told from the earlier session, not run again*",
        ]
    )
    assert len(steps(report())) == 6
    run(None, "--lem-resume").stderr.fnmatch_lines(["*no session below*is unfinished"])


@pytest.mark.slow
def test_the_plan_of_the_rest_is_printed(stopped, run, notes, folder):
    """`--lem-plan` with `--lem-resume` shows what is left, and changes nothing."""
    stopped(5)
    notes()
    files = {p: hashlib.sha256(p.read_bytes()).digest() for p in folder().iterdir()}
    result = run(None, "--lem-resume", "--lem-plan")
    result.stdout.fnmatch_lines(
        ["lem resume: session *, 4 of 6 cycles done*", "*1  cycle 2 *fake-2*"]
    )
    assert notes() == []
    for path, digest in files.items():
        assert hashlib.sha256(path.read_bytes()).digest() == digest


def test_an_interrupted_session_says_how_to_go_on(stopped, run, notes):
    """And what failed outside of an assertion is run again, with what it left out."""
    broken = SOURCE.replace("raise KeyboardInterrupt", "raise OSError")
    result = stopped(2, source=broken)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["plan: 4 of 6 cycles are done; *--lem-resume*"])
    assert notes() == ["1", "2", "3", "1", "3"]
    run(None, "--lem-resume").assert_outcomes(passed=2, failed=1)
    assert notes() == ["2", "2"]


def test_another_plan_is_refused_with_the_differences(stopped, run, project, notes):
    """Other experiments, settings, effort, order or seed; nothing is touched."""
    stopped(3)
    before = {p: p.read_bytes() for p in (project.path / ".lem").rglob("*.js*")}
    notes()
    changes = ("--lem-set=output_tokens=5", "--lem-cycles=3", "--lem-order=reversed")
    result = run(None, "--lem-resume", *changes, "-k", "1 or 2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "*cannot be gone on with*leave out --lem-resume*",
            "*order: reversed, was interleaved",
            "*fake-3?: is missing now",
            "*fake-1?: cycles 3, was 2",
            "*fake-1?: output_tokens 5, was 4",
        ]
    )
    assert notes() == []
    assert before == {p: p.read_bytes() for p in before}


def test_a_damaged_result_is_measured_again(stopped, run, notes, report, folder):
    """A line that was cut, changed or lost; what belongs to no cycle is put aside."""
    stopped(6)
    notes()
    journal = folder() / "cycles.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    changed = lines[1].replace('"failed"', '"faiLed"').replace("complete", "completf")
    journal.write_text("".join([lines[0], changed, *lines[3:5], lines[5][:200]]))
    result = run(None, "--lem-resume", "--lem-json=r.json")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["lem resume: cycle 1 of *fake-2*: * is run again"])
    assert notes() == ["2", "3", "3"]
    assert sorted(steps(report())) == [(name, k) for name in IDS for k in (0, 1)]
    assert len((folder() / "cycles.aside.jsonl").read_text().splitlines()) == 2
    assert len(journal.read_text().splitlines()) == 6


def test_a_broken_plan_is_rebuilt_when_asked(stopped, run, notes, report, folder):
    """It is named, kept beside, and made anew from the results."""
    stopped(5)
    notes()
    plan = folder() / "plan.json"
    plan.write_text(plan.read_text().replace('"pending"', '"skipped"', 1))
    result = run(None, "--lem-resume")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*is broken: plan.*--lem-rebuild-plan*"])
    result = run(None, "--lem-resume", "--lem-rebuild-plan", "--lem-json=r.json")
    result.assert_outcomes(passed=2, failed=1)
    # How the first two tests ended is in no result: their last cycles run again.
    assert notes() == ["1", "2", "3"]
    assert steps(report())[:3] == [(name, 0) for name in IDS]
    assert (folder() / "plan.json.bak").exists()


def test_a_session_is_named_by_its_id(stopped, run, folder, project):
    """A name that is none is refused with those there are; so is a path."""
    stopped(3)
    result = run(None, "--lem-resume=20200101")
    result.stderr.fnmatch_lines(
        [f"*--lem-resume: session '20200101' *{folder().name}*"]
    )
    result = run(None, "--lem-resume", "test_it.py")
    result.stderr.fnmatch_lines(["*is a path, no session: write --lem-resume=last *"])
    result = run(None, "--lem-rebuild-plan")
    result.stderr.fnmatch_lines(["*--lem-rebuild-plan: say --lem-resume with it"])


@pytest.mark.slow
def test_work_that_only_the_body_knows_is_remembered(run, stopped, notes, report):
    """A late workload keeps its identity and cycles; other work is refused."""
    late = SOURCE.replace(
        "lem()", "lem(engine, Workload(input_tokens=4, output_tokens=batch_size))"
    )
    late = late.replace("(lem, batch_size, note)", "(lem, engine, batch_size, note)")
    late = late.replace(
        "import pytest", "import pytest\nfrom pytest_lem import Workload"
    )
    stopped(5, source=late)
    notes()
    run(None, "--lem-resume", "--lem-json=r.json").assert_outcomes(passed=2, failed=1)
    assert notes() == ["2", "3"]
    sizes = [one.spec["workload"]["output_tokens"] for one in report().experiments]
    assert sizes == [1, 2, 3]


def test_a_plan_is_estimated_by_earlier_sessions(run):
    """Time and energy of cycles as they were; said of how many."""
    one = SOURCE.replace("[1, 2, 3]", "[1]")
    plan = ("--lem-plan", "--lem-meter=fake")
    run(one, "--lem-meter=fake").assert_outcomes(passed=1)
    result = run(None, *plan)
    result.stdout.fnmatch_lines(
        [
            "estimated time: * (2 cycles as in earlier sessions)",
            "estimated energy: * J for loads, warm-ups and windows (2 cycles as *",
        ]
    )
    result = run(one.replace("[1]", "[1, 3]"), *plan)
    result.stdout.fnmatch_lines(
        [
            "estimated time: * (2 cycles as in earlier sessions, 2 by a guess)",
            "estimated energy: * (2 cycles * sessions; of 2 nothing is known)",
        ]
    )


@pytest.mark.slow
def test_what_was_left_out_stays_left_out(stopped, run, notes, report):
    """A test that the hardware could not run is told as skipped, with the reason."""
    unable = SOURCE.replace("[1, 2, 3]", "[1, 3]").replace(
        "@pytest.mark.lem\n",
        """@pytest.mark.lem(fake={"fail_at": "load", "fail_kind": "hardware"})
def test_unable(lem, note):
    note("unable")
    lem()

@pytest.mark.lem
""",
    )
    stopped(2, source=unable)
    assert "unable" in notes()
    result = run(None, "--lem-resume", "--lem-json=r.json", "-rs")
    result.assert_outcomes(passed=2, skipped=1)
    assert "unable" not in notes()
    (left_out,) = report().plan.skipped
    assert "test_unable" in left_out["experiment_id"]
    assert "the script fails at load" in left_out["reason"]
