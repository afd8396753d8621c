"""Interrupts and sudden deaths of a real session: exit codes, reports, no orphans."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

# The engine of test_long is loaded when it says so, and then generates for minutes;
# it has a child of its own, and where asked it does not heed SIGTERM.
ENGINE = """
import os, signal, subprocess, sys
from pytest_lem.engines.fake import FakeEngine

class Stubborn(FakeEngine):
    def load(self, spec):
        if "STUBBORN" in os.environ:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return super().load(spec)
"""

CONFTEST = """
def pytest_lem_register_engines(registry):
    from pytest_lem.engines.registry import EngineEntry
    registry.add(EngineEntry(name="stubborn", target="stubborn_engine:Stubborn"))
"""

SOURCE = """
import pytest

@pytest.fixture(scope="module", autouse=True)
def stack(note):
    yield
    note("down")

@pytest.mark.lem
def test_quick(lem):
    lem()

@pytest.mark.lem(output_tokens=200, stubborn={"token_s": 1, "spawn_child": True})
def test_long(lem, engine, note):
    engine.generate(["hi"], output_tokens=1)
    note("loaded")
    lem()

@pytest.mark.lem(batch_size=2)
def test_after(lem):
    lem()
"""


class Session:
    """A pytest process in a session of its own, as a terminal would start it."""

    def __init__(self, directory, environment, word):
        self.directory = directory
        self.word = word
        command = [sys.executable, "-m", "pytest", "--lem-json=r.json", "-rf"]
        self.popen = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, **environment, "LEM_TEST_WORD": word},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait_for_note(self, word, within_s=30):
        """Wait until a test noted the word."""
        path = self.directory / "notes.txt"
        deadline = time.monotonic() + within_s
        while not (path.exists() and word in path.read_text().split()):
            assert self.popen.poll() is None, self.popen.communicate()[0]
            assert time.monotonic() < deadline, "the session never came so far"
            time.sleep(0.02)

    def worker(self):
        """The live worker's guard, which leads its group, and the worker itself."""
        guard = _worker_below(self.popen.pid)
        return guard, _worker_below(guard)

    def end(self):
        """Wait for the end; the output and the exit code."""
        output, _ = self.popen.communicate(timeout=60)
        return output, self.popen.returncode


def _worker_below(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    told = {c: Path(f"/proc/{c}/cmdline").read_text() for c in children}
    return next(int(c) for c in told if "pytest_lem.worker" in told[c])


@pytest.fixture
def begin(project, alive):
    """Begin a session whose long experiment measures; nothing of it may be left."""
    project.makepyfile(test_it=SOURCE, stubborn_engine=ENGINE)
    ini = (project.path / "pytest.ini").read_text()
    ini = ini.replace("lem_backend = fake", "lem_backend = stubborn")
    ini = ini.replace("fake.", "stubborn.")
    (project.path / "pytest.ini").write_text(ini)
    conftest = project.path / "conftest.py"
    conftest.write_text(conftest.read_text() + CONFTEST)
    sessions = []

    def begin(**environment):
        paths = [str(project.path), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        session = Session(project.path, environment, uuid.uuid4().hex)
        sessions.append(session)
        session.wait_for_note("loaded")
        time.sleep(0.2)  # so that the window has most likely begun
        return session

    yield begin
    for session in sessions:
        session.popen.kill()
        session.popen.wait()
        left = eventually_none(alive, session.word)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert left == []


def eventually_none(alive, word, within_s=10):
    """Wait for the last process with the word to end; who is left."""
    deadline = time.monotonic() + within_s
    while (left := alive(word)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def test_one_interrupt_keeps_what_was_measured(begin, report, alive, notes):
    """Ctrl-C: exit code 2, the report of what was done, fixtures down, no orphan."""
    session = begin()
    assert len(alive(session.word)) >= 4
    os.killpg(session.popen.pid, signal.SIGINT)
    output, code = session.end()
    assert code == pytest.ExitCode.INTERRUPTED
    assert alive(session.word) == []
    record = report()
    assert record.session.status == "interrupted"
    statuses = {one.id: [c.status for c in one.cycles] for one in record.experiments}
    assert statuses == {
        "test_it.py::test_quick[stubborn]": ["complete"],
        "test_it.py::test_long[stubborn]": ["interrupted"],
        "test_it.py::test_after[stubborn]": ["complete"],
    }
    assert "KeyboardInterrupt" in output
    assert notes()[-1] == "down"


def test_sigterm_is_as_good_as_an_interrupt(begin, report, alive):
    """SIGTERM ends the session as Ctrl-C does, and says so."""
    session = begin()
    session.popen.terminate()
    output, code = session.end()
    assert code == pytest.ExitCode.INTERRUPTED
    assert alive(session.word) == []
    assert report().session.status == "interrupted"
    assert "SIGTERM" in output


def test_a_stubborn_worker_ends_after_the_grace(begin, report, alive):
    """A worker that does not heed SIGTERM is killed; the report is written."""
    session = begin(STUBBORN="1")
    os.killpg(session.popen.pid, signal.SIGINT)
    _, code = session.end()
    assert code == pytest.ExitCode.INTERRUPTED
    assert alive(session.word) == []
    (long,) = (one for one in report().experiments if "long" in one.id)
    assert [c.status for c in long.cycles] == ["interrupted"]


def test_a_second_interrupt_kills_at_once(begin, report, alive):
    """Ctrl-C while a worker is given its grace: it is killed, exit code 2."""
    session = begin(STUBBORN="1")
    os.killpg(session.popen.pid, signal.SIGINT)
    time.sleep(0.5)
    assert session.popen.poll() is None
    os.killpg(session.popen.pid, signal.SIGINT)
    _, code = session.end()
    assert code == pytest.ExitCode.INTERRUPTED
    assert alive(session.word) == []
    assert report().experiments[0].cycles[0].status == "complete"


def test_two_interrupts_in_a_row_leave_nothing(begin, alive):
    """However quickly the second follows, the session ends and no process stays."""
    session = begin()
    os.killpg(session.popen.pid, signal.SIGINT)
    os.killpg(session.popen.pid, signal.SIGINT)
    _, code = session.end()
    assert code == pytest.ExitCode.INTERRUPTED
    assert alive(session.word) == []


def test_killing_pytest_leaves_no_process(begin, alive, journal):
    """kill -9 of pytest: worker and its children end; the journal has what was done."""
    session = begin()
    session.popen.kill()
    session.popen.wait()
    assert eventually_none(alive, session.word) == []
    assert journal()[0]["cycle"]["status"] == "complete"
    assert not (session.directory / "r.json").exists()


@pytest.mark.parametrize("which", ["guard", "worker"])
def test_killing_the_worker_fails_its_experiment_only(
    begin, report, alive, group_of, which
):
    """kill -9 of either: a named error, its group gone, the next one measured."""
    session = begin()
    guard, worker = session.worker()
    assert len(group_of(guard)) >= 3
    os.kill(guard if which == "guard" else worker, signal.SIGKILL)
    output, code = session.end()
    assert code == pytest.ExitCode.TESTS_FAILED
    assert group_of(guard) == []
    assert alive(session.word) == []
    cycles = {one.id.split("_")[-1]: one.cycles for one in report().experiments}
    (died,) = cycles["long[stubborn]"]
    assert (died.status, died.error.kind) == ("failed", "worker_died")
    assert "SIGKILL" in died.error.message
    for name in ("quick[stubborn]", "after[stubborn]"):
        assert [c.status for c in cycles[name]] == ["complete"] * 2
    assert output.count("FAILED test_it.py::test_long") == 1


def test_success_leaves_no_process(project, alive, monkeypatch):
    """After an ordinary session, whose engines have children, none is left."""
    word = uuid.uuid4().hex
    monkeypatch.setenv("LEM_TEST_WORD", word)
    project.makepyfile(
        """
        import pytest

        @pytest.mark.lem(fake={"spawn_child": True})
        def test_it(lem):
            lem()

        @pytest.mark.lem(fake={"spawn_child": True, "fail_at": "generate"})
        def test_fails(lem):
            lem()
        """
    )
    result = project.runpytest_subprocess("--lem-json=r.json")
    result.assert_outcomes(passed=1, failed=1)
    assert alive(word) == []
    record = json.loads((project.path / "r.json").read_text())
    assert record["session"]["status"] == "complete"


def test_sigterm_elsewhere_is_pytests_own(project):
    """Without experiments the plugin takes no signal: SIGTERM kills as ever."""
    project.makepyfile(
        """
        import os, signal

        def test_it():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            os.kill(os.getpid(), signal.SIGTERM)
        """
    )
    result = project.runpytest_subprocess()
    assert result.ret == -signal.SIGTERM
