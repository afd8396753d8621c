"""Other Pythons: found, asked what they have, and refused in one line each."""

import sys
import venv
from pathlib import Path

import pytest

import pytest_lem
from pytest_lem.errors import ConfigError, EngineNotAvailable
from pytest_lem.worker.launch.interpreter import ask, find, install_command

ROOT = Path(pytest_lem.__file__).parents[1]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A virtual environment with nothing in it."""
    folder = tmp_path_factory.mktemp("environments") / "bare"
    venv.create(folder, with_pip=False)
    return folder


@pytest.fixture
def beside(bare, monkeypatch):
    """Put modules into the bare environment, as far as one test goes."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (packages,) = bare.glob("lib/python3*/site-packages")
    paths = []

    def put(path):
        paths.append(packages / f"{len(paths)}.pth")
        paths[-1].write_text(f"{path}\n")
        return str(bare / "bin" / "python")

    yield put
    for path in paths:
        path.unlink()


@pytest.fixture
def script(tmp_path):
    """An executable that is not quite a Python."""

    def write(text):
        path = tmp_path / "odd-python"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return write


def test_a_python_tells_what_it_has_and_lacks(beside):
    """Its version, the modules that are missing, versions of packages."""
    told = ask(beside(ROOT), modules=["json", "numpy.linalg"], packages=["numpy"])
    assert told.version == ".".join(map(str, sys.version_info[:3]))
    assert told.missing == ["numpy.linalg"]
    assert told.packages == {"numpy": None}
    here = ask(sys.executable, modules=["numpy"], packages=["pytest"])
    assert (here.missing, here.packages) == ([], {"pytest": pytest.__version__})


def test_a_python_without_the_plugin_is_told_how_to_get_it(beside, tmp_path):
    """The command that installs it beside the engine, and nothing else."""
    python = beside(tmp_path)
    with pytest.raises(EngineNotAvailable) as caught:
        ask(python, modules=[], packages=[])
    assert str(caught.value) == (
        f"{python} has no pytest-lem, which must be beside the engine: "
        f"{install_command(python)}"
    )
    assert f"{python} -m pip install --no-deps " in str(caught.value)


def test_another_protocol_is_refused_with_both_versions(beside, tmp_path):
    """Not after minutes of loading."""
    (tmp_path / "pytest_lem" / "worker").mkdir(parents=True)
    (tmp_path / "pytest_lem" / "__init__.py").write_text("__version__ = '0.0.3'\n")
    (tmp_path / "pytest_lem" / "worker" / "protocol.py").write_text("PROTOCOL = 77\n")
    with pytest.raises(ConfigError, match=r"pytest-lem 0\.0\.3, .* protocol 77 and th"):
        ask(beside(tmp_path), modules=[], packages=[])


def test_a_python_that_is_too_old_says_which_is_needed(script):
    """It is not asked for more than its version."""
    python = script(
        f'exec {sys.executable} -c "import sys; sys.version_info = (3, 9, 1); '
        "exec(open(sys.argv[1]).read().replace('__file__', 'sys.argv[1]'))\" \"$1\""
    )
    with pytest.raises(ConfigError, match=r"is Python 3\.9\.1, and 3\.11 is the least"):
        ask(python, modules=[], packages=[])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("true", "it does not answer as one"),
        ("echo '[1, 2]'", "it does not answer as one"),
        ("echo no such luck >&2; exit 3", "no such luck"),
    ],
)
def test_what_is_no_python_is_told(script, text, why):
    """By what it answers."""
    with pytest.raises(ConfigError, match=f"odd-python is no Python: {why}"):
        ask(script(text), modules=[], packages=[])


def test_a_python_is_found_by_path_or_name(bare, tmp_path, monkeypatch):
    """A link stays a link, or it would be another environment."""
    python = bare / "bin" / "python"
    assert find(str(python)) == str(python)
    monkeypatch.setenv("PATH", str(bare / "bin"))
    assert find("python") == str(python)
    with pytest.raises(ConfigError, match=f"is a directory; did you mean {python}"):
        find(str(bare))
    with pytest.raises(ConfigError, match="nix does not exist"):
        find(str(tmp_path / "nix"))
    (tmp_path / "plain").write_text("")
    with pytest.raises(ConfigError, match="plain cannot be executed"):
        find(str(tmp_path / "plain"))
