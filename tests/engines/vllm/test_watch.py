"""Ends of an engine's processes, seen by a thread that sleeps; and causes in a log."""

import queue
import signal
import subprocess
import sys
import threading

import pytest

from pytest_lem.engines.vllm.causes import cause
from pytest_lem.engines.vllm.failures import load_failure
from pytest_lem.engines.vllm.watch import Watch
from pytest_lem.errors import ConfigError, GenerationError, WorkerDied

SLEEPS = ["-c", "import time; print(1, flush=True); time.sleep(3600)"]
LOG = """\
(VllmWorker-0 pid=31) WARNING 11-21 15:17:08 [vllm.py:725] Using the V1 model runner.
(VllmWorker-1 pid=32) WARNING 11-21 15:17:08 [vllm.py:725] Using the V1 model runner.
(Worker pid=32) ERROR 11-21 15:48:18 [multiproc_executor.py:1063] Traceback (most recent
(Worker pid=32) ERROR 11-21 15:48:18 [multiproc_executor.py:1063]     raise ValueError(
(Worker pid=32) ERROR 11-21 15:48:18 [multiproc_executor.py:1063] ValueError: no GPU 1
(EngineCore pid=30) ERROR 11-21 15:48:18 [core.py:1510] RuntimeError: initialization
"""


@pytest.fixture
def core():
    """A process that is called as vLLM calls its core."""
    with subprocess.Popen(
        ["VLLM::EngineCore", *SLEEPS],
        executable=sys.executable,
        stdout=subprocess.PIPE,
    ) as process:
        process.stdout.read(1)  # it has begun, and its name is known
        yield process
        process.kill()


@pytest.fixture
def watch(core):
    """Over that process."""
    before = signal.getsignal(signal.SIGUSR2)
    made = Watch()
    yield made
    made.stop()
    made.left(0)
    signal.signal(signal.SIGUSR2, before)


def test_a_wait_without_end_is_interrupted(core, watch):
    """By an error that names who has ended and how; the same at once the next time."""
    told = rf"VLLM::EngineCore \(process {core.pid}\) was ended by SIGKILL"
    threading.Timer(0.1, core.kill).start()
    for _ in range(2):
        with pytest.raises(WorkerDied, match=told):
            with watch.over():
                queue.SimpleQueue().get()


def test_nobody_is_interrupted_outside_of_a_block(core, watch):
    """An end between two passes is told when the next one begins."""
    with watch.over():
        pass
    core.kill()
    core.wait()
    with pytest.raises(queue.Empty):
        queue.SimpleQueue().get(timeout=0.2)
    with pytest.raises(WorkerDied, match="has ended"):
        with watch.over():
            pass


def test_an_error_of_a_dead_engine_is_its_death(core, watch):
    """vLLM's own error does not say which process it was; others stay as they are."""
    with pytest.raises(ConfigError), watch.over():
        raise ConfigError("too long")
    threading.Timer(0.02, core.kill).start()  # the error may be there before the end
    for _ in range(2):
        with pytest.raises(WorkerDied, match="VLLM::EngineCore"):
            with watch.over():
                raise GenerationError("the engine is dead")


def test_who_stays_after_an_unload_is_named(core):
    """Those that have ended are no more."""
    watch = Watch()
    watch.stop()
    assert watch.left(0) == ["VLLM::EngineCore"]
    watch = Watch()
    watch.stop()
    core.kill()
    assert watch.left() == []


def test_other_children_are_not_watched():
    """A compiler may end whenever it likes."""
    command = [sys.executable, *SLEEPS]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        child.stdout.read(1)
        watch = Watch()
        child.kill()
        child.wait()
    with watch.over():
        pass
    watch.stop()
    assert watch.left(0) == []


@pytest.mark.parametrize(
    "words",
    [
        "The quantization method fp8 is not supported for the current GPU.",
        "Bfloat16 is only supported on GPUs with compute capability of at least 8.0.",
    ],
)
def test_a_gpu_that_is_too_old_is_no_fault_of_the_load(words):
    """In vLLM's own words, from its core's log or from an error."""
    told = [
        load_failure("m", ValueError(words), None),
        load_failure("m", RuntimeError("Engine core failed"), f"rank 0: {words}"),
    ]
    assert [one.kind for one in told] == ["hardware"] * 2
    assert all(words in one.message for one in told)
    assert load_failure("m", ValueError("no such file"), None).kind == "engine_load"


def test_the_cause_is_the_first_error_of_a_rank():
    """Before a process knows its rank its log has only its number."""
    assert cause(LOG) == "rank 1: ValueError: no GPU 1"
    core_only = "".join(LOG.splitlines(keepends=True)[-1:])
    assert cause(core_only) == "EngineCore: RuntimeError: initialization"
    assert cause("Loading safetensors\n") is None
