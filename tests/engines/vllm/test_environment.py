"""Which variables vLLM is given, and by which tests; the fast way out."""

import os
from types import SimpleNamespace

import pytest

from pytest_lem.engines.vllm import environment
from pytest_lem.engines.vllm.environment import TABLE, Facts
from pytest_lem.errors import EngineLoadError


@pytest.fixture
def environ(monkeypatch):
    """An environment without any of the variables, put back afterwards."""
    for one in TABLE:
        monkeypatch.delenv(one.name, raising=False)
    monkeypatch.setattr(environment, "_USERS", frozenset())
    return os.environ


def test_every_variable_has_versions_and_a_reason():
    """And is there once."""
    assert len({one.name for one in TABLE}) == len(TABLE)
    assert all(one.versions and one.reason for one in TABLE)


@pytest.mark.parametrize(
    ("facts", "value"),
    [
        (Facts(gpus=0, ranks=1), "0"),
        (Facts(gpus=0, ranks=2), "1"),
        (Facts(gpus=1, ranks=1), "1"),
        (Facts(gpus=1, ranks=1, in_process=True), "0"),
        (Facts(gpus=0, ranks=1, in_process=False), "1"),
    ],
)
def test_the_core_is_in_the_process_on_cpus_alone(environ, facts, value):
    """Unless the parameter says otherwise; processes are spawned in any case."""
    environment.set_up(facts)
    assert environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == value
    assert environ["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"
    assert environ["VLLM_NO_USAGE_STATS"] == "1"


def test_a_variable_is_set_only_where_its_test_says_so(environ, monkeypatch):
    """Cores are divided where ranks share a CPU, kernels left out that are absent."""
    environment.set_up(Facts(gpus=0, ranks=1))
    assert "VLLM_CPU_OMP_THREADS_BIND" not in environ
    assert "VLLM_USE_FLASHINFER_SAMPLER" not in environ
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 4, 5, 6})
    environment.set_up(Facts(gpus=0, ranks=2))
    assert environ["VLLM_CPU_OMP_THREADS_BIND"] == "0,1|4,5"
    absent = SimpleNamespace(find_spec=lambda name: None)
    monkeypatch.setattr(environment.importlib, "util", absent)
    environment.set_up(Facts(gpus=1, ranks=1))
    assert environ["VLLM_USE_FLASHINFER_SAMPLER"] == "0"
    assert "VLLM_CPU_OMP_THREADS_BIND" not in environ


def test_what_the_user_has_set_stays_and_is_told(environ, monkeypatch):
    """A parameter wins over it; keys are not told."""
    users = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1", "VLLM_API_KEY": "secret"}
    environ.update(users)
    monkeypatch.setattr(environment, "_USERS", frozenset(users))
    environment.set_up(Facts(gpus=0, ranks=1))
    told = environment.in_force()
    assert told["VLLM_ENABLE_V1_MULTIPROCESSING"] == "1"
    assert "VLLM_API_KEY" not in told
    environment.set_up(Facts(gpus=0, ranks=1, in_process=True))
    assert environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"


def test_a_process_that_has_used_cuda_is_refused(monkeypatch):
    """In one line, before vLLM starts processes that would fail in other words."""
    used = SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: True))
    monkeypatch.setitem(environment.sys.modules, "torch", used)
    with pytest.raises(EngineLoadError, match="CUDA was initialised in this process"):
        environment.refuse_open_cuda()
