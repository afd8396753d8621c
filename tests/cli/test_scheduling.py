"""`lem schedule`, typed as a user does, with rounds that are seconds apart."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from pytest_lem.cli import app
from pytest_lem.records.export import read_json

SOURCE = """
import time
from pathlib import Path

def test_it():
    if Path("second").exists():
        Path("waiting").touch()
        time.sleep(60)
    Path("second").touch()
    assert False, "in the first round"
"""
OPTIONS = [
    "--lem-backend=fake",
    "--lem-meter=none",
    "--lem-idle=off",
    "--lem-cycles=1",
    "--lem-windows=1",
    "--lem-warmup=off",
]


@pytest.fixture
def interrupted(pytester, monkeypatch):
    """Schedule pytest, and interrupt its second round; what was printed."""

    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_lem.plugin")

    def interrupted(source, *arguments):
        pytester.makepyfile(test_it=source)
        command = [sys.executable, "-m", "pytest_lem.cli", "schedule", "--every=1s"]
        command += ["--label=night", "--no-store", "--", *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as schedule:
            while not (pytester.path / "waiting").exists():
                assert schedule.poll() is None
                time.sleep(0.05)
            os.kill(schedule.pid, signal.SIGINT)
            output, _ = schedule.communicate(timeout=60)
        assert schedule.returncode == 130
        return output

    return interrupted


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--", "-k", "x"], "say --at HH:MM, --every 6h, or both"),
        (["--at", "25:00", "--", "-k", "x"], "'25:00' is no time of day"),
        (["--at", "02:00", "--for", "1s", "--"], "no round would begin within --for"),
        (
            ["--every", "6h", "--zone", "Mars/North", "--"],
            "Mars/North: is no time zone",
        ),
        (["--every", "6h", "--days", "xmas", "--"], "'xmas' is no day"),
    ],
)
def test_what_cannot_be_is_refused_at_once(arguments, told, tmp_path, monkeypatch):
    """In one line, before anything waits."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    done = CliRunner().invoke(app, ["schedule", *arguments, "test_it.py"])
    assert done.exit_code == 2
    assert told in done.stderr
    assert not (tmp_path / "lem-rounds").exists()


@pytest.mark.parametrize(
    "option",
    [
        *("--lem-json", "--lem-csv", "--lem-csv-cycles", "--lem-html", "--lem-save"),
        *("--lem-torch-profile", "--lem-save-outputs", "--lem-save-stamps"),
        *("--lem-save-raw", "--junitxml", "--log-file"),
    ],
)
def test_what_each_round_would_write_over_is_refused(option, tmp_path, monkeypatch):
    """However the value is said, and before anything waits."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    told = f"{option}: each round would write over the one before; put {{round}} into"
    for arguments in ([f"{option}=a"], [option, "a"]):
        command = ["schedule", "--every", "6h", "--", *arguments, "test_it.py"]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 2
        assert told in done.stderr


def test_a_schedule_survives_a_round_that_fails_and_ends_its_pytest_when_interrupted(
    interrupted, pytester
):
    """It says when the next is, and {round} is the name of each."""
    output = interrupted(SOURCE, "--junitxml={round}.xml")
    assert len(re.findall(r"^next round: \w+ \d{4}-", output, re.MULTILINE)) >= 2
    told = re.findall(r"^(night-\w+): .* status (\d)$", output, re.MULTILINE)
    assert [status for _, status in told] == ["1", "2"]
    assert all((pytester.path / f"{name}.xml").exists() for name, _ in told)


@pytest.mark.slow
def test_each_round_has_a_report_also_the_one_that_is_interrupted(
    interrupted, pytester
):
    """What was measured of it is in its own file."""
    interrupted(SOURCE.replace("it():\n", "it(lem):\n    lem()\n"), *OPTIONS)
    reports = sorted((pytester.path / "lem-rounds").glob("night-*.json"))
    statuses = [read_json(one).session.status for one in reports]
    assert statuses == ["complete", "interrupted"]


def test_arguments_that_pytest_refuses_are_refused_before_the_first_round(pytester):
    """Nobody finds out in the middle of the night that an option was misspelt."""
    pytester.makepyfile(test_it="def test_it(): pass")
    arguments = ["schedule", "--at", "02:00", "--", "--lem-orders=grouped"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "--lem-orders=grouped" in done.stderr
