"""`--lem-store` and `--lem-save`: records in the store as they are finished."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_lem.store.opening import open_store
from pytest_lem.store.place import parse_place
from pytest_lem.store.wanted import Wanted

pytest.importorskip("sqlalchemy")

SOURCE = """
import pytest

@pytest.mark.lem
@pytest.mark.parametrize("batch_size", [1, 2])
def test_it(lem, batch_size):
    lem()
"""


@pytest.fixture
def stored(project):
    """(what is found in the project's store, the reports that come out of it)."""

    def stored(name=".lem/results.db"):
        store = open_store(parse_place(name, project.path))
        try:
            return store.find(Wanted()), list(store.reports(Wanted()))
        finally:
            store.close()

    return stored


def test_the_store_has_what_the_report_has(run, stored, report):
    """To the byte; another session adds to it."""
    result = run(SOURCE, "--lem-store=kept/mine.db", "--lem-json=r.json")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["lem reports: r.json, *mine.db", "store: *mine.db"])
    found, (whole,) = stored("kept/mine.db")
    assert whole.model_dump_json() == report().model_dump_json()
    assert [one.labels for one in found] == [(), ()]
    run(None, "--lem-store=kept/mine.db", "-k", "fake-1").assert_outcomes(
        passed=1, deselected=1
    )
    found, reports = stored("kept/mine.db")
    assert (len(found), len(reports)) == (3, 2)
    assert found[0].identity in {one.identity for one in found[1:]}


def test_a_record_is_there_while_others_are_still_measured(run, stored):
    """So that a session that is killed leaves what it had finished."""
    looking = """
import pytest
from pathlib import Path
from pytest_lem.store.wanted import Wanted
from pytest_lem.store.opening import open_store
from pytest_lem.store.place import parse_place

def there():
    return open_store(parse_place("x.db", Path.cwd())).find(Wanted())

@pytest.mark.lem
def test_a(lem):
    assert there() == []
    lem()

@pytest.mark.lem
def test_b(lem):
    (one,) = there()
    assert one.experiment_id == "test_it.py::test_a[fake]"
    assert (one.cycles, one.status) == (2, "interrupted")
    lem()
"""
    result = run(looking, "--lem-store=x.db", "--lem-order=grouped")
    result.assert_outcomes(passed=2)
    found, _ = stored("x.db")
    assert [one.status for one in found] == ["complete"] * 2


def test_a_session_that_is_killed_leaves_what_it_had_finished(project, stored):
    """kill -9, while the next experiment is measured."""
    project.makepyfile(
        test_it="""
import pytest, time
from pathlib import Path

@pytest.mark.lem(cycles=1)
def test_a(lem):
    lem()

@pytest.mark.lem(cycles=1)
def test_b(lem):
    Path("begun").touch()
    time.sleep(600)
"""
    )
    command = [sys.executable, "-m", "pytest", "-q", "--lem-store=x.db"]
    session = subprocess.Popen(
        command, cwd=project.path, stdout=subprocess.DEVNULL, start_new_session=True
    )
    while not (project.path / "begun").exists():
        assert session.poll() is None
        time.sleep(0.05)
    os.kill(session.pid, signal.SIGKILL)
    session.wait()
    (found,), (report,) = stored("x.db")
    assert (found.experiment_id, found.cycles) == ("test_it.py::test_a[fake]", 1)
    assert report.session.status == "interrupted"


def test_a_label_is_saved_with_records_that_are_whole(run, stored):
    """In the project's own store, unless another is named."""
    run(SOURCE, "--lem-save=main/nightly").assert_outcomes(passed=2)
    found, (report,) = stored()
    assert [one.labels for one in found] == [("main/nightly",)] * 2
    assert report.session.label == "main/nightly"


def test_a_label_is_not_saved_where_a_cycle_failed(run, stored):
    """It says why, and how to label all the same; the records are there."""
    failing = SOURCE.replace("mark.lem", "mark.lem(fake={'fail_at': 'generate'})")
    result = run(failing, "--lem-save=main", "-k", "fake-1")
    result.assert_outcomes(failed=1, deselected=1)
    (found,), _ = stored()
    assert found.labels == ()
    result.stdout.fnmatch_lines(
        [f"not saved as 'main': cycle 0 of *; `lem results label main {found.key}` *"]
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--lem-store=mysql://x/y",),
            "--lem-store: no database 'mysql' is known: write a file's path, sqlite:*",
        ),
        (("--lem-store=a/b/c.db",), "store *c.db: *a is no directory"),
        (("--lem-store=test_it.py",), "store *test_it.py: file is not a database"),
        (
            ("--lem-save=two words",),
            "--lem-save='two words' is no label: write up to 200 letters, *",
        ),
    ],
)
def test_a_store_that_cannot_be_is_said_before_anything_runs(
    run, errors_of, arguments, said
):
    """In one line, with what is valid."""
    result = run(SOURCE + "#" * 9999, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{said}"])
    assert len(errors_of(result)) == 1


def test_a_store_of_the_ini_file_is_the_project_s(project, stored, monkeypatch):
    """Wherever in it pytest is started; the command line names a place from there."""
    with (project.path / "pytest.ini").open("a") as file:
        file.write("\nlem_store = x.db\n")
    inside = project.mkdir("inside")
    (inside / "test_it.py").write_text(SOURCE)
    monkeypatch.chdir(inside)
    project.runpytest_inprocess("-k", "fake-1").assert_outcomes(passed=1, deselected=1)
    assert len(stored("x.db")[0]) == 1
    assert list(Path(inside).glob("*.db")) == []


def test_a_store_that_goes_away_fails_the_session_and_no_test(run, project):
    """Every cycle is in the journal all the same."""
    breaking = """
import pytest
from pathlib import Path

@pytest.mark.lem
def test_it(lem):
    lem()
    for one in Path.cwd().glob("x.db*"):
        one.unlink()
    Path("x.db").mkdir()
"""
    result = run(breaking, "--lem-store=x.db", "--lem-cycles=1")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["store *x.db: unable to open database file"])


def test_a_password_is_in_no_report(run, errors_of):
    """Nor in what is said of a server that is not there."""
    result = run(SOURCE, "--lem-store=postgresql://me:s3cret@127.0.0.1:1/x")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (said,) = errors_of(result)
    assert said.startswith("store postgresql://me:***@127.0.0.1:1/x: ")
    assert "s3cret" not in said


def test_without_its_libraries_one_line_says_what_to_install(project):
    """To pytest and to the commands; everything else works without them."""
    project.makepyfile(test_it=SOURCE)
    project.makepyfile(sitecustomize="import sys; sys.modules['sqlalchemy'] = None")
    paths = [str(project.path), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    for *command, status in (
        ["pytest", "-q", "--lem-store=x.db", 4],
        ["pytest", "-q", "-k", "fake-1", "--lem-cycles=1", 0],
        ["pytest_lem.cli", "results", "export", "--csv=x.csv", 2],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=project.path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        lines = [line for line in done.stderr.splitlines() if line]
        said = "a store needs sqlalchemy: pip install 'pytest-lem[store]'"
        assert [line.removeprefix("ERROR: ") for line in lines] == [said] * (status > 0)
