"""`lem ab`: two checkouts in turn, judged by the gate."""

import json
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from pytest_lem.cli import app
from pytest_lem.errors import ConfigError
from pytest_lem.rounds.checkout import checked_out, source
from pytest_lem.rounds.turns import in_turn, turns

SPEED = "--fail=output_throughput_tps:10%"
SLOW_TEST = """
import pytest

@pytest.mark.lem(patient={"token_s": 20})
def test_it(lem, engine):
    lem()
"""


def test_turns_are_never_three_in_a_row_and_as_often_first():
    """A B B A, and so on, for any number of rounds that can be judged."""
    for rounds in range(3, 12):
        sides = turns(rounds)
        assert in_turn(sides)
        assert sides.count("base") == sides.count("head") == rounds
    assert turns(3) == ["base", "head", "head", "base", "base", "head"]


@pytest.mark.slow
def test_a_slower_head_is_a_regression(project):
    """Each revision runs its own code; what was made for it is gone afterwards."""
    project.slow_down(1.5)
    project.commit("Slower.")
    sides = ("HEAD~1", "HEAD", "--rounds=3", SPEED, "--out=o")
    done = project.lem("ab", *sides, "--", "test_it.py")
    assert done.returncode == 1, done.stdout + done.stderr
    rounds = [line.split(" (")[0] for line in done.stdout.splitlines()[1:7]]
    base, head = "base HEAD~1", "head HEAD"
    order = [base, head, head, base, base, head]
    assert rounds == [f"round {k} of 6, {one}" for k, one in enumerate(order, 1)]
    assert "-33.3 %" in done.stdout
    assert "regression" in done.stdout
    assert project.left() == []
    path = project.path / "o" / "rounds.json"
    told = json.loads(path.read_text())
    assert told["rounds"].pop()["side"] == "head"
    path.write_text(json.dumps(told))
    done = project.lem("ab", "--resume=o", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    said = done.stderr.splitlines()
    assert [line.split(" (")[0] for line in said[1:]] == ["round 6 of 6, head HEAD"]
    (one,) = map(json.loads, done.stdout.splitlines())
    assert (one["verdict"], one["shift"]["rule"]) == ("regression", "interleaved")
    assert (one["metric"], one["shift"]["sessions"]) == (
        "output_throughput_tps",
        [3, 3],
    )


def test_a_round_that_fails_ends_what_could_not_be_judged_any_more(project):
    """Three of each are needed; its report and what pytest printed are kept."""
    text = (project.path / "test_it.py").read_text()
    (project.path / "test_it.py").write_text(f"{text}    assert 0\n")
    out = project.path / "out"
    done = project.lem(
        "ab", "main", ".", "--rounds=3", f"--out={out}", SPEED, "--", "-x"
    )
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].startswith("round 1 of 6, base main (")
    assert lines[2].startswith("round 2 of 6, head . (")
    assert lines[2].endswith(f"does not count: tests failed: {out}/02-head.log")
    assert lines[3] == "the rounds that are left could not be judged: no more are run"
    assert "assert 0" in (out / "02-head.log").read_text()
    assert (out / "02-head.json").exists()
    assert "nothing is judged" in done.stderr
    assert project.left() == []


def test_ctrl_c_leaves_no_checkout_and_the_rest_can_be_run_later(project):
    """SIGTERM ends the session that runs, as it would end pytest alone."""
    (project.path / "test_it.py").write_text(SLOW_TEST)
    project.commit("It takes a minute.")
    command = project.command("ab", "HEAD", "HEAD", "--out=o", "--", ".")
    with subprocess.Popen(
        command,
        cwd=project.path,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        journals = "checkouts/*/*/.lem/sessions"
        while not [*project.cache.glob(journals)]:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        assert project.left()
        process.send_signal(signal.SIGTERM)
        said = process.communicate()[1]
    assert process.returncode == 130
    out = project.path / "o"
    assert said == f"interrupted: `lem ab --resume {out}` goes on\n"
    assert project.left() == []
    assert json.loads((out / "rounds.json").read_text())["rounds"] == []
    project.slow_down(2)
    told = json.loads((out / "rounds.json").read_text())
    for one in told["sources"].values():
        one["directory"] = str(project.path)
    (out / "rounds.json").write_text(json.dumps(told))
    done = project.lem("ab", f"--resume={out}")
    assert done.returncode == 2
    assert "base: the files of HEAD changed since the first round" in done.stderr


def test_what_a_killed_one_left_is_removed_by_the_next(project, monkeypatch):
    """Not what another that lives has checked out."""
    monkeypatch.setenv("LEM_CACHE_DIR", str(project.cache))
    dies = (
        "import os, pathlib; from pytest_lem.rounds.checkout import *; "
        "here = pathlib.Path(); held = checked_out([source('main', here)], here); "
        "held.__enter__(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", dies], cwd=project.path, check=True)
    assert len(project.left()) == 2
    one, other = (source(name, project.path) for name in ("main", "HEAD"))
    with checked_out([one], project.path) as mine:
        with checked_out([other], project.path) as its:
            roots = {mine[one].root, its[other].root}
            assert {folder / folder.name for folder in project.left()[:2]} == roots
            assert len(project.left()) == 4
    assert project.left() == []


def test_a_round_starts_in_the_directory_where_the_command_did(project, monkeypatch):
    """In the checkout; a revision without it is refused."""
    monkeypatch.setenv("LEM_CACHE_DIR", str(project.cache))
    below, later = project.path / "src", project.path / "later"
    one = source("main", below)
    with checked_out([one], below) as places:
        assert places[one].start == places[one].root / "src"
        assert (places[one].start / "patient.py").is_file()
    later.mkdir()
    with pytest.raises(ConfigError, match=r"main \(\w+\) has no directory later"):
        with checked_out([source("main", later)], later):
            pass
    assert project.left() == []


def test_what_cannot_be_run_is_told_in_one_line(project, monkeypatch):
    """Before anything runs."""
    monkeypatch.chdir(project.path)

    def refused(*arguments):
        done = CliRunner().invoke(app, ["ab", *arguments])
        assert (done.exit_code, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        return line

    assert refused("main", ".") == (
        "say two revisions and tests: BASE HEAD -- PYTEST_ARGS"
    )
    assert refused("mian", ".", "--", "-q") == (
        "revision 'mian' is unknown; did you mean 'main'? (choices: HEAD, main)"
    )
    assert refused("main", ".", "--resume=o") == (
        "--resume says all that is run: leave the rest out"
    )
    assert refused("main", "./gone", "--", "-q") == "./gone: is no directory"
    assert refused("main", ".", "--fail=speed:5%", "--", "-q").startswith(
        "--fail: metric 'speed' is unknown"
    )
    assert refused("main", ".", "--", "-q", "--lem-json=r.json") == (
        "--lem-json=r.json: leave it out, each round writes a report of its own"
    )
    project.slow_down(2)
    assert refused(".", "main", "--", "-q").startswith(
        "BASE: . has changes that are not committed: "
    )
    done = CliRunner().invoke(app, ["aa", "5"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "say how many sessions, and tests: N -- PYTEST_ARGS\n"
