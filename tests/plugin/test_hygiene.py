"""What a session must not do: import too much, reach out, or write elsewhere."""

import os
import sys
from pathlib import Path

import pytest

HEAVY = """
HEAVY = (
    "numpy", "scipy", "pydantic", "pynvml", "sqlalchemy", "pyarrow", "torch",
    "transformers", "vllm", "tensorrt_llm", "codecarbon", "rich", "yaml",
)
"""

LOADED = (
    HEAVY
    + """
import sys

def pytest_unconfigure(config):
    found = [name for name in HEAVY if name in sys.modules]
    print("\\nheavy:", *found)
    print("ours:", *sorted(n for n in sys.modules if n.startswith("pytest_lem")))
"""
)

# Stands for a network that is not there; whoever tries is written down.
NO_SOCKETS = """
import os
import socket
import sys

def _refuse():
    with open(os.environ["ATTEMPTS"], "a") as file:
        file.write(sys._getframe(2).f_globals["__name__"] + "\\n")
    raise OSError("sockets are blocked")

class Blocked(socket.socket):
    def __init__(self, *args, **kwargs):
        _refuse()

def create_connection(*args, **kwargs):
    _refuse()

socket.socket = Blocked
socket.create_connection = create_connection
"""

SOURCE = """
import pytest

@pytest.mark.lem
def test_it(lem):
    assert lem().output_throughput_tps > 0
"""


@pytest.fixture
def plain(project):
    """A project that knows nothing of us but tells what was imported at its end."""
    project.makefile(".ini", pytest="[pytest]\n")
    project.makeconftest(LOADED)
    project.makepyfile(test_plain="def test_it(tmp_path): assert tmp_path.exists()")
    return project


# Other plugins of the environment have imports of their own.
ALONE = ("-p", "no:randomly", "-p", "no:hypothesispytest", "-p", "no:anyio")


def told(result, word):
    """What the line that begins with the word says."""
    (line,) = (one for one in result.outlines if one.startswith(f"{word}:"))
    return line.split()[1:]


@pytest.mark.parametrize(
    "arguments",
    [[], ["-v"], ["--collect-only"], ["--markers"], ["-n0"], ["-k", "it"]],
)
def test_a_plain_session_imports_nothing_heavy(plain, arguments):
    """A project without experiments pays for the front door only."""
    result = plain.runpytest_subprocess(*ALONE, *arguments)
    assert result.ret == pytest.ExitCode.OK
    assert told(result, "heavy") == []
    assert "pytest_lem.front.session" not in told(result, "ours")


def test_a_plain_session_imports_nothing_a_run_without_us_does_not(plain):
    """Beyond our own few modules, hardly anything is loaded on our account."""
    conftest = plain.path / "conftest.py"
    conftest.write_text(
        "import sys\n\ndef pytest_unconfigure(config):\n"
        '    print("\\nall:", *sorted(sys.modules))\n'
    )
    with_us = set(told(plain.runpytest_subprocess(*ALONE), "all"))
    without = set(told(plain.runpytest_subprocess(*ALONE, "-p", "no:lem"), "all"))
    added = {name for name in with_us - without if not name.startswith("pytest_lem")}
    assert {name.partition(".")[0] for name in added} <= sys.stdlib_module_names


def test_importing_the_package_imports_nothing_heavy(project):
    """`import pytest_lem`, and its plugin, need the standard library and pytest."""
    script = project.makepyfile(
        "import sys\nimport pytest_lem, pytest_lem.plugin\n"
        + HEAVY
        + "found = [name for name in HEAVY if name in sys.modules]\n"
        "assert not found, found\n"
        "from pytest_lem import Workload\n"
        "assert 'pydantic' in sys.modules\n"
    )
    result = project.run(sys.executable, script)
    assert result.ret == 0, result.stderr.str()


def test_a_fake_measurement_imports_no_engine_library(run, project):
    """A session on the fake engine needs neither torch nor NVML's bindings."""
    conftest = project.path / "conftest.py"
    conftest.write_text(conftest.read_text() + LOADED)
    project.makepyfile(SOURCE)
    result = project.runpytest_subprocess("--lem-meter=none")
    result.assert_outcomes(passed=1)
    heavy = told(result, "heavy")
    assert not {"torch", "transformers", "codecarbon"}.intersection(heavy)


@pytest.fixture
def offline(project, monkeypatch):
    """A home of its own, no sockets in any Python process, and who tried one."""
    blocks = project.mkdir("blocks")
    (blocks / "sitecustomize.py").write_text(NO_SOCKETS)
    for name in ("home", "temporary"):
        project.mkdir(name)
    monkeypatch.setenv("PYTHONPATH", str(blocks))
    monkeypatch.setenv("ATTEMPTS", str(project.path / "attempts.txt"))
    monkeypatch.setenv("HOME", str(project.path / "home"))
    monkeypatch.setenv("TMPDIR", str(project.path / "temporary"))
    for name in ("XDG_CACHE_HOME", "HF_HOME", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)

    def attempts():
        """The modules that wanted a socket."""
        path = project.path / "attempts.txt"
        return path.read_text().splitlines() if path.exists() else []

    return attempts


def files_of(directory):
    """All files below, relative, without what Python and pytest write anyway."""
    return {
        str(Path(where, name).relative_to(directory))
        for where, _, names in os.walk(directory)
        for name in names
        if "__pycache__" not in where and ".pytest_cache" not in where
    }


def test_the_block_blocks(project, offline):
    """The test's own sitecustomize works: a socket raises and is written down."""
    script = project.makepyfile("import socket; socket.socket()")
    result = project.run(sys.executable, script)
    assert result.ret == 1
    assert offline() == ["__main__"]


@pytest.mark.slow
def test_a_real_measurement_stays_on_this_machine(project, offline, report):
    """On transformers: no socket, no torch in pytest's process, files only in place."""
    conftest = project.path / "conftest.py"
    conftest.write_text(conftest.read_text() + LOADED)
    project.makepyfile(test_it=SOURCE)
    before = files_of(project.path)
    result = project.runpytest_subprocess(
        *("-p", "no:rerunfailures"),  # it has a socket of its own
        "--lem-backend=transformers",
        "--lem-meter=auto",
        "--lem-cycles=1",
        "--lem-set=transformers.device=cpu",
        "--lem-json=r.json",
    )
    result.assert_outcomes(passed=1)
    # urllib3 looks, when it is imported, whether this machine has IPv6.
    assert set(offline()) <= {"urllib3.util.connection"}
    assert not {"torch", "transformers"}.intersection(told(result, "heavy"))
    record = report()
    assert record.experiments[0].cycles[0].engine["name"] == "transformers"
    this_tests = {"attempts.txt", "stdout", "stderr"}
    written = files_of(project.path) - before - this_tests
    cache = "home/.cache/pytest-lem/"
    places = (".lem/sessions/", ".lem/plan.json", cache, "r.json")
    assert [name for name in written if not name.startswith(places)] == []
    assert any(name.startswith(cache) for name in written)
