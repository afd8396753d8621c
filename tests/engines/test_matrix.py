"""What an engine can do is looked up where it is installed, and else not claimed."""

import json
import sys

import pytest
from typer.testing import CliRunner

from pytest_lem.cli import app
from pytest_lem.engines.matrix import STATES, column
from pytest_lem.engines.recorded import recorded
from pytest_lem.spec import catalogue
from pytest_lem.spec.features import ALWAYS, CHECKPOINT, FEATURES

CLASS = """
class {name}:
    def __init__(self, {arguments}):
        pass
"""


@pytest.fixture
def interpreter(tmp_path):
    """A Python without any engine but the one whose classes are given."""

    def make(library="nothing", **classes):
        (tmp_path / f"{library}.py").write_text(
            "".join(
                CLASS.format(name=name, arguments=", ".join(arguments))
                for name, arguments in classes.items()
            )
        )
        script = tmp_path / "python"
        script.write_text(
            f'#!/bin/sh\nexport PYTHONPATH="$PYTHONPATH:{tmp_path}"\n'
            f'exec {sys.executable} -S "$@"\n'
        )
        script.chmod(0o755)
        return str(script)

    return make


def test_every_feature_is_a_parameter_of_its_backend():
    """Nothing is compared that no parameter or reason stands for."""
    for paths in FEATURES.values():
        for backend, path in paths.items():
            rows = catalogue.rows(backend) + catalogue.rows(catalogue.UNIVERSAL)
            assert path in {ALWAYS, CHECKPOINT, *(row.path for row in rows)}


def test_a_feature_of_an_engine_that_is_not_installed_is_not_claimed(interpreter):
    """Only what no engine of its kind can do is known."""
    found = column("vllm", interpreter())
    assert found.version is None
    assert {*found.features.values()} == {"not looked at", "no"}


def test_an_engine_that_is_not_installed_is_looked_up_as_it_was_recorded(interpreter):
    """Which is not to say that it is here, nor that it was tried."""
    found = column("tensorrt", interpreter())
    assert found.version is None
    assert found.recorded[0] == recorded("tensorrt").version
    assert found.features["8 bits by bitsandbytes"] == "no"
    assert {*found.features.values()} == {"recorded", "no"}


def test_an_argument_that_an_installed_engine_lacks_is_gone(interpreter):
    """The version that is there decides, not the list."""
    found = column("vllm", interpreter("vllm", SamplingParams=["temperature", "n"]))
    assert found.version == "unknown"
    assert found.features["prefix caching"] == "gone"
    assert found.features["continuous batching"] == "yes"
    assert found.features["4 bits by bitsandbytes"] == "no"


def test_the_command_prints_a_line_for_each_feature(interpreter):
    """With the version that was looked at, and what the words mean."""
    others = [f"--python={backend}={interpreter()}" for backend in catalogue.BACKENDS]
    output = CliRunner().invoke(app, ["matrix", *others]).output
    assert all(f"\n{name}  " in output for name in FEATURES)
    columns = CliRunner().invoke(app, ["matrix", "--json"]).output.splitlines()
    told = {one["backend"]: one for one in map(json.loads, columns)}
    assert {*told} == {*catalogue.BACKENDS}
    for one in told.values():
        assert {*one["features"].values()} <= {*STATES}


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        ("vllm", "--python 'vllm' is not BACKEND=PATH"),
        ("vlm=/x", "backend 'vlm' is unknown; did you mean 'vllm'?"),
    ],
)
def test_an_interpreter_is_named_with_its_backend(pair, told):
    """What is written otherwise is one line and the code of a usage error."""
    result = CliRunner().invoke(app, ["matrix", "--python", pair])
    assert result.exit_code == 2
    assert result.output.startswith(told)
