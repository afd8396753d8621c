"""The parameters against the arguments of the vLLM that is installed."""

import sys

import pytest

pytest.importorskip("vllm")

from pytest_lem.engines import difference as differences
from pytest_lem.engines import matrix
from pytest_lem.engines.difference import difference
from pytest_lem.engines.matrix import column
from pytest_lem.engines.signatures import read
from pytest_lem.spec import catalogue


@pytest.fixture(scope="module", autouse=True)
def _read_once():
    """Reading starts a process that imports vLLM."""
    found = read(catalogue.native("vllm"), sys.executable)
    with pytest.MonkeyPatch.context() as patch:
        for module in (differences, matrix):
            patch.setattr(module, "read", lambda *_: found)
        yield


def test_vllm_takes_every_argument():
    """None is gone and no object is missing; what is new can be passed on."""
    found = difference("vllm")
    assert found.version is not None
    assert (found.gone, found.absent) == ([], [])
    assert found.same > 100
    assert "EngineArgs.max_logprobs" in found.new
    assert not [name for name in found.new if "._" in name]


def test_what_vllm_can_do_is_driven():
    """All but copies of the engine, which want processes of their own."""
    states = column("vllm", sys.executable).features
    missing = {name for name, state in states.items() if state not in ("yes", "no")}
    assert missing == {"data parallel"}
