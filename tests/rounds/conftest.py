"""A project under git, whose engine is as slow as a file of the checkout says."""

import os
import shutil
import subprocess
import sys

import pytest

INI = """
[pytest]
addopts = -p no:randomly -p no:hypothesispytest -p no:benchmark
lem_backend = patient
lem_meter = none
lem_idle = off
lem_windows = 1
lem_warmup = off
lem_cycles = 1
lem_set =
    input_tokens=4
    output_tokens=4
    patient.prefill_s=0
    patient.token_s=0.001
"""
# A script that is none by its flags.
ENGINE = """
from dataclasses import replace
from pathlib import Path

from pytest_lem.engines.fake import FakeEngine

class Patient(FakeEngine):
    def load(self, spec):
        loaded = super().load(spec)
        slower = float(Path(__file__).with_name("slower.txt").read_text())
        self._script = replace(self._script, token_s=self._script.token_s * slower)
        return replace(loaded, flags=[])
"""
HOOKS = """
def pytest_lem_register_engines(registry):
    from pytest_lem.engines.registry import EngineEntry
    registry.add(EngineEntry(name="patient", target="patient:Patient"))
"""
SOURCE = """
import pytest

@pytest.mark.lem
def test_it(lem):
    lem()
"""


class Project:
    """A repository with one commit, in which `lem` is run."""

    def __init__(self, path, cache):
        self.path = path
        self.cache = cache
        self.environment = {**os.environ, "LEM_CACHE_DIR": str(cache)}
        path.mkdir()
        files = {
            "pytest.ini": INI,
            "conftest.py": HOOKS,
            "patient.py": ENGINE,
            "test_it.py": SOURCE,
            "slower.txt": "1",
        }
        for name, text in files.items():
            (path / name).write_text(text)
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("The first.")

    def git(self, *arguments):
        """What git prints."""
        who = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        command = ["git", *who, *arguments]
        done = subprocess.run(
            command, cwd=self.path, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, message):
        """All that is there."""
        self.git("add", "--all")
        self.git("commit", "--quiet", f"--message={message}")

    def command(self, *arguments):
        """`lem ARGUMENTS`, as a list."""
        return [sys.executable, "-m", "pytest_lem.cli", *arguments]

    def lem(self, *arguments):
        """Run it."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def left(self):
        """Checkouts that are still there, on the disk or to git."""
        found = [*self.cache.glob("checkouts/*")]
        return found + self.git("worktree", "list").splitlines()[1:]


@pytest.fixture
def project(tmp_path):
    """The repository."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    return Project(tmp_path / "project", tmp_path / "cache")
