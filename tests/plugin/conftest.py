"""Small projects of users, with the fake engine, and what their tests noted."""

import json
import os
import re
from pathlib import Path

import pytest

from pytest_lem.records.record import Record
from pytest_lem.worker import group

INI = """
[pytest]
addopts = -p no:randomly -p no:hypothesispytest
markers =
    mine: a marker of this project
lem_backend = fake
lem_meter = none
lem_idle = off
lem_windows = 1
lem_warmup = off
lem_cycles = 2
lem_set =
    input_tokens=4
    output_tokens=4
    fake.prefill_s=0
    fake.token_s=0.001
"""

CONFTEST = """
from pathlib import Path
import pytest

@pytest.fixture(scope="session")
def note():
    def write(word):
        with Path(__file__).with_name("notes.txt").open("a") as file:
            file.write(f"{word}\\n")
    return write
"""


@pytest.fixture
def project(pytester):
    """A project whose experiments take milliseconds; `note(word)` writes notes."""
    pytester.makefile(".ini", pytest=INI)
    pytester.makeconftest(CONFTEST)
    return pytester


@pytest.fixture
def extend(project, monkeypatch):
    """Append hooks to the project's conftest and put the project on the path."""
    monkeypatch.setenv("PYTHONPATH", str(project.path), prepend=os.pathsep)
    monkeypatch.syspath_prepend(str(project.path))

    def extend(body):
        path = project.path / "conftest.py"
        path.write_text(path.read_text() + body)

    return extend


@pytest.fixture
def run(project):
    """Write `source` to test_it.py, unless it is None, and run pytest in process."""

    def run(source=None, *arguments):
        if source is not None:
            project.makepyfile(test_it=source)
        return project.runpytest_inprocess(*map(str, arguments))

    return run


@pytest.fixture
def notes(project):
    """What the tests noted since it was last asked."""

    def notes():
        path = project.path / "notes.txt"
        words = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return words

    return notes


@pytest.fixture
def report(project):
    """The record that `--lem-json=r.json` left."""

    def report(name="r.json"):
        return Record.model_validate_json((project.path / name).read_bytes())

    return report


@pytest.fixture
def journal(project):
    """The lines of every session's journal, oldest first."""

    def journal():
        paths = sorted((project.path / ".lem").glob("sessions/*/cycles.jsonl"))
        return [json.loads(line) for p in paths for line in p.read_text().splitlines()]

    return journal


@pytest.fixture
def errors_of():
    """The lines of a usage error."""

    def errors_of(result):
        lines = [*result.errlines, *result.outlines]
        return [
            re.sub(r"^ERROR: ", "", line)
            for line in lines
            if line.startswith(("ERROR: ", "  "))
        ]

    return errors_of


@pytest.fixture
def alive():
    """The living processes whose environment or command line has a word in it."""

    def alive(word):
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                told = (entry / "cmdline").read_bytes() + (
                    entry / "environ"
                ).read_bytes()
            except OSError:
                continue
            if word.encode() in told:
                found.append(int(entry.name))
        return found

    return alive


@pytest.fixture
def group_of():
    """The living processes of a worker's group."""
    return group.members
