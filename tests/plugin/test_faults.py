"""What goes wrong with meters while a whole session measures, and what it says."""

import subprocess
import sys
import time

import pytest

SOURCE = """
import pytest

@pytest.mark.lem
def test_it(lem):
    lem()
"""

METER = """
from pytest_lem.meters import Device
from pytest_lem.meters.fake import FakeMeter

class Wired(FakeMeter):
    name = "wired"
    basis = "measured"

def open_meter(argument, gpus):
    return Wired()
"""

CONFTEST = """
def pytest_lem_register_meters(registry):
    registry.add("wired", "wired_meter:open_meter")
"""


@pytest.fixture
def wired(project, monkeypatch, tmp_path):
    """A project with a meter that measures a GPU, and a user's cache of its own."""
    monkeypatch.setenv("LEM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(project.path), prepend=":")
    monkeypatch.syspath_prepend(str(project.path))
    project.makepyfile(wired_meter=METER)
    path = project.path / "conftest.py"
    path.write_text(path.read_text() + CONFTEST)
    return project


@pytest.fixture
def busy(wired):
    """Another pytest session that measures the GPU, until it is killed."""
    wired.makepyfile(
        test_other="""
        import pytest

        @pytest.mark.lem(output_tokens=600, fake={"token_s": 0.1})
        def test_long(lem, note):
            note("measuring")
            lem()
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--lem-meter=wired", "test_other.py"],
        cwd=wired.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    notes, deadline_s = wired.path / "notes.txt", time.monotonic() + 30
    while not notes.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline_s, "the session never came so far"
        time.sleep(0.02)
    yield process
    process.kill()
    process.communicate()


def test_a_second_session_on_a_measured_gpu_is_refused_until_the_first_has_gone(
    run, wired, busy
):
    """One usage error names the process; a killed session holds nothing back."""
    result = run(SOURCE, "--lem-meter=wired", "test_it.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: GPU fake:0 is being measured by process {busy.pid} since *"]
    )
    assert len([line for line in result.errlines if line]) == 1
    arguments = ("--lem-meter=wired", "--lem-no-lock", "test_it.py")
    run(None, *arguments).assert_outcomes(passed=1)
    busy.kill()
    busy.wait()
    run(None, "--lem-meter=wired", "test_it.py").assert_outcomes(passed=1)


def test_a_played_or_synthetic_gpu_is_locked_by_nobody(run, wired, tmp_path):
    """Only what a GPU itself tells can be spoilt by a second session."""
    run(SOURCE, "--lem-meter=fake").assert_outcomes(passed=1)
    assert not (tmp_path / "cache").exists()
    run(None, "--lem-meter=wired").assert_outcomes(passed=1)
    assert [path.name for path in (tmp_path / "cache").rglob("*.lock")] == [
        "fake_0.lock"
    ]
