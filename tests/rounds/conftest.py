"""A project under git, whose engine is as slow as a module of the checkout says."""

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
# A script that is none by its flags, below `src`; how slow it is lies beside that.
ENGINE = """
from dataclasses import replace

import speed

from pytest_lem.engines.fake import FakeEngine

class Patient(FakeEngine):
    def load(self, spec):
        loaded = super().load(spec)
        token_s = self._script.token_s * speed.SLOWER
        self._script = replace(self._script, token_s=token_s)
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
        (path / "src").mkdir(parents=True)
        files = {
            "pytest.ini": INI,
            "conftest.py": HOOKS,
            "src/patient.py": ENGINE,
            "test_it.py": SOURCE,
            "speed.py": "import os\n\nSLOWER = 1\n",
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

    def slow_down(self, factor):
        """Every token takes so much longer."""
        (self.path / "speed.py").write_text(f"import os\n\nSLOWER = {factor}\n")

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
