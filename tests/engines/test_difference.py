"""Parameters against the arguments that an installed engine takes."""

import importlib.util
import os

import pytest

from pytest_lem.engines.difference import compare, difference
from pytest_lem.engines.signatures import Signatures, arguments, read
from pytest_lem.errors import EngineNotAvailable


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


def test_of_an_engine_that_is_not_installed_nothing_is_gone():
    """Nothing is claimed about what was not looked at."""
    if importlib.util.find_spec("tensorrt_llm"):
        pytest.skip("TensorRT-LLM is installed here")
    told = difference("tensorrt")
    assert (told.version, told.gone, told.new) == (None, [], [])


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
