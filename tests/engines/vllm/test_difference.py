"""The parameters against the arguments of the vLLM that is installed."""

import sys

import pytest

pytest.importorskip("vllm")

from pytest_lem.engines.difference import difference
from pytest_lem.engines.matrix import column


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
