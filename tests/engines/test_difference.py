"""Parameters against the arguments that an installed engine takes."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

from pytest_lem.engines.difference import compare, difference
from pytest_lem.engines.recorded import record, recorded, recordings
from pytest_lem.engines.signatures import Signatures, arguments, read, types
from pytest_lem.errors import EngineNotAvailable
from pytest_lem.spec.catalogue import not_covered, targets

SCRIPTED = Path(__file__).parents[1] / "data" / "scripted_tensorrt"


def test_gone_renamed_and_new_are_told_apart():
    """A likely successor is one of the same object that no parameter reaches."""
    found = Signatures(
        version="9.0",
        arguments={"Args": ["kept", "page_size", "extra", "left"], "Other": ["blocks"]},
    )
    targets = {"Args": {"kept", "page_sizes", "lost"}, "Other": set(), "Away": {"x"}}
    told = compare("vllm", found, targets, {"Args.left"})
    assert (told.version, told.same, told.absent) == ("9.0", 1, ["Away"])
    assert told.gone == ["Args.lost", "Args.page_sizes"]
    assert told.renamed == {"Args.page_sizes": "Args.page_size"}
    assert told.new == ["Args.extra", "Args.page_size", "Other.blocks"]


@pytest.fixture
def bare(tmp_path):
    """A Python without any engine."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    script.chmod(0o755)
    return str(script)


def test_of_an_engine_that_is_not_installed_nothing_is_gone(bare):
    """Nothing is claimed about what was neither looked at nor written down."""
    told = difference("vllm", bare)
    assert (told.version, told.recorded, told.gone, told.new) == (None, False, [], [])


def test_what_was_written_down_stands_in_for_an_engine_that_is_not_installed(bare):
    """And every argument of it is a parameter, or left out by name."""
    told = difference("tensorrt", bare)
    assert told.recorded
    assert told.version.startswith("1.4")
    assert told.new == []
    assert told.same > 90


def test_each_recording_is_accounted_for():
    """Older versions lack what is newer; nothing of theirs is forgotten."""
    left_out = {n for one in not_covered("tensorrt").values() for n in one}
    for version in recordings("tensorrt"):
        found = recorded("tensorrt", version)
        told = compare("tensorrt", found, targets("tensorrt"), left_out)
        assert told.new == [], version
        everything = sum(map(len, found.arguments.values()))
        print(f"{found.version}: {told.same} of {everything} arguments are parameters")
    assert [*recordings("tensorrt")] == ["1.3", "1.4"]


class Model:
    """As pydantic tells of a class, by name."""

    def __init__(self, size: int = 3, *, name: str):
        """Nothing is kept."""


def test_what_is_installed_can_be_written_down(tmp_path, monkeypatch):
    """Types and defaults beside the names, as the files that ship have them."""
    assert types(Model) == {
        "size": {"type": "int", "default": 3},
        "name": {"type": "str"},
    }
    pydantic = pytest.importorskip("pydantic")
    made = pydantic.create_model(
        "Made",
        few=(int, pydantic.Field(2, ge=1)),
        rest=(list[int] | None, pydantic.Field(default_factory=list)),
    )
    assert types(made) == {
        "few": {"type": "int", "default": 2, "limits": {"ge": 1}},
        "rest": {"type": "list[int] | None", "made": "list"},
    }


def test_the_signatures_of_an_installed_engine_are_written_to_a_file(tmp_path, bare):
    """One engine's, in the shape that ships; without the engine there is no file."""
    file = tmp_path / "found.json"
    with pytest.raises(EngineNotAvailable, match="there is nothing to record"):
        record("tensorrt", file, bare)
    assert not file.exists()
    here = os.pathsep.join([str(SCRIPTED), os.environ.get("PYTHONPATH", "")])
    script = tmp_path / "with"
    script.write_text(
        f'#!/bin/sh\nexport PYTHONPATH="{here}"\nexec {sys.executable} "$@"\n'
    )
    script.chmod(0o755)
    assert record("tensorrt", file, str(script)) == "1.3.0rc0+scripted"
    told = json.loads(file.read_text())
    assert told["library"] == "tensorrt_llm"
    shipped = json.loads(recordings("tensorrt")["1.3"].read_text())
    for name in ("TorchLlmArgs", "KvCacheConfig", "SamplingParams"):
        found, wanted = told["objects"][name], shipped["objects"][name]
        assert {**found["arguments"]}.keys() == wanted["arguments"].keys()
        assert found["target"] == wanted["target"]
    fraction = told["objects"]["KvCacheConfig"]["arguments"]["free_gpu_memory_fraction"]
    assert fraction["default"] == 0.9
    assert fraction["limits"] == {"ge": 0, "le": 1}


@pytest.mark.slow
def test_transformers_takes_every_argument_and_has_no_other():
    """Each target is there, and each argument is a parameter or left out by name."""
    if not importlib.util.find_spec("transformers"):
        pytest.skip("transformers is not installed here")
    told = difference("transformers")
    assert told.same > 80
    assert (told.absent, told.gone) == ([], [])
    assert told.new == []


def takes(a, *rest, b=1, **kwargs):
    """A function with arguments of every kind."""
    return a, rest, b, kwargs.pop("c", None), kwargs.get("d"), kwargs.pop("_e", None)


def test_arguments_are_those_named_and_those_taken_out_of_kwargs():
    """Private ones are the library's own business."""
    assert arguments(takes) == ["a", "b", "c", "d"]


def test_a_library_that_fails_is_told_by_its_last_line(tmp_path):
    """An engine that is there and cannot be imported is no absent engine."""
    with pytest.raises(EngineNotAvailable, match="cannot be read"):
        read({"x": "json:dumps"}, python=os.devnull)
    assert read({"x": "json:dumps", "y": "json:nothing"}).arguments["x"]
