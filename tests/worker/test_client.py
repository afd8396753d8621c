"""Asking a worker, waiting for it, and ending it: with real processes and signals."""

import _thread
import os
import platform
import signal
import sys
import threading
from pathlib import Path

import pytest

from pytest_lem import __version__, errors
from pytest_lem.engines import GenerateOptions
from pytest_lem.errors import (
    ConfigError,
    EngineLoadError,
    EngineNotAvailable,
    GenerationError,
    OutOfMemory,
    Timeout,
    WorkerDied,
)
from pytest_lem.worker import group
from pytest_lem.worker.client import Limits, start_worker
from pytest_lem.worker.protocol import PROTOCOL

QUICK = Limits(
    start_s=20,
    load_s=1,
    tokenize_s=20,
    generate_s=1,
    unload_s=1,
    silence_s=20,
    grace_s=1,
)
OPTIONS = GenerateOptions(output_tokens=4)


def loaded(start, limits=None, on_beat=None, **script):
    client = start(on_beat=on_beat, **({"limits": limits} if limits else {}))
    client.load({"engine": script})
    return client


def load_and_generate(client, script):
    client.load({"engine": script})
    client.generate([[1]], OPTIONS)


def test_a_whole_life(start):
    """Hello, load, tokenise, generate, unload, close: each answers, none is left."""
    client = start()
    assert client.hello == {
        "protocol": PROTOCOL,
        "plugin": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "engine": {"name": "fake", "version": "1"},
        "packages": {"python": platform.python_version()},
        "pid": client.hello["pid"],
        "devices": [],
        "clock_ns": client.hello["clock_ns"],
    }
    assert client.hello["pid"] in group.members(client.pid)
    assert client.load({"engine": {}, "model": "m"}).model["name"] == "m"
    ids = client.tokenize(["ab", "", "é"])
    assert ids == [[97, 98], [], [195, 169]]
    assert client.detokenize(ids) == ["ab", "", "é"]
    generation = client.generate(ids, OPTIONS)
    assert [one.input_tokens for one in generation.completions] == [2, 0, 2]
    client.unload()
    client.load({"engine": {}})
    assert client.usable
    assert client.close() is None
    assert not client.usable
    assert group.members(client.pid) == []
    assert client.close() is None


def test_megabytes_pass_both_ways_without_blocking(start):
    """Requests and answers far larger than a pipe's buffer do not deadlock."""
    client = loaded(start, prefill_s=0.0, token_s=0.0)
    prompts = [[i % 50_000 for i in range(1000)]] * 800
    generation = client.generate(prompts, GenerateOptions(output_tokens=500))
    assert len(generation.completions) == 800
    assert {one.output_tokens for one in generation.completions} == {500}
    texts = ["é" * 100_000] * 30
    assert client.detokenize(client.tokenize(texts)) == texts


def test_a_closed_engine_is_not_used_again(start):
    """Using an engine after its end is told as what it is."""
    client = loaded(start)
    client.close()
    with pytest.raises(WorkerDied, match="not used again"):
        client.generate([[1]], OPTIONS)


def test_an_engine_that_prints_does_not_disturb(start, tmp_path):
    """What an engine writes to standard output lands in the log."""
    client = loaded(start, print_noise=True)
    for _ in range(3):
        client.generate([[1]], OPTIONS)
    log = (tmp_path / "logs/worker.log").read_bytes()
    assert log.count(b"noise from Python") == 4
    assert log.count(b"noise from C\xff") == 4


@pytest.mark.parametrize(
    "kind", ["config", "engine_load", "out_of_memory", "generation", "error"]
)
@pytest.mark.parametrize("step", ["load", "generate"])
def test_an_engine_s_failure_keeps_its_kind(start, step, kind):
    """A failure comes back as its own kind, in one line, with traceback and log."""
    client = start()
    script = {"fail_at": step, "fail_kind": kind, "print_noise": True}
    with pytest.raises(errors.LemError) as caught:
        load_and_generate(client, script)
    assert caught.value.kind == kind
    assert caught.value.message == f"fake, {step}: the script fails at {step}"
    assert "Traceback" in caught.value.detail
    assert "_misbehave" in caught.value.detail
    assert "noise from Python" in caught.value.detail
    assert not client.usable


@pytest.mark.parametrize(
    ("raised", "during_load", "during_generate"),
    [
        ("ValueError('bad\\nvery')", EngineLoadError, GenerationError),
        ("MemoryError()", OutOfMemory, OutOfMemory),
        ("OutOfMemoryError('CUDA out of memory')", OutOfMemory, OutOfMemory),
        ("ImportError('no flash_attn')", EngineNotAvailable, EngineNotAvailable),
        ("SystemExit(3)", EngineLoadError, GenerationError),
    ],
)
def test_a_library_s_failure_gets_a_kind(
    start, engine_module, raised, during_load, during_generate
):
    """What a library raises is named by its type and by the step it was raised in."""
    target = engine_module(
        "class OutOfMemoryError(RuntimeError): pass\n"
        "class Odd(FakeEngine):\n"
        "    def load(self, spec):\n"
        f"        if spec['bad']: raise {raised}\n"
        "        return super().load(spec)\n"
        f"    def run(self, batch, options): raise {raised}\n"
    )
    with pytest.raises(during_load) as caught:
        start(target).load({"bad": True})
    assert type(caught.value) is during_load
    assert "\n" not in caught.value.message
    assert raised.partition("(")[0] in caught.value.message
    client = start(target)
    client.load({"bad": False})
    with pytest.raises(during_generate) as caught:
        client.generate([[1]], OPTIONS)
    assert type(caught.value) is during_generate


def test_an_out_of_memory_error_is_found_behind_another(start, engine_module):
    """A library that wraps the error does not hide its kind."""
    target = engine_module(
        "class Odd(FakeEngine):\n"
        "    def load(self, spec):\n"
        "        raise RuntimeError('engine start failed') from MemoryError()\n"
    )
    with pytest.raises(OutOfMemory, match="engine start failed"):
        start(target).load({})


@pytest.mark.parametrize(
    ("target", "kind", "told"),
    [
        ("no_such_module:Engine", EngineNotAvailable, "No module named"),
        ("pytest_lem.engines.fake:Missing", ConfigError, "no engine"),
        ("broken_engine:Odd", EngineNotAvailable, "libcudart.so.13"),
    ],
)
def test_an_engine_that_cannot_be_imported(start, engine_module, target, kind, told):
    """Import failures are told at the start, and the worker is gone."""
    engine_module("raise OSError('libcudart.so.13: cannot open')\n", "broken_engine")
    with pytest.raises(kind, match=told) as caught:
        start(target)
    assert caught.value.message.startswith("fake, hello: ")


def test_an_interpreter_that_does_not_exist(tmp_path):
    """A wrong path is told with the option that names it."""
    with pytest.raises(ConfigError, match=r"cannot start '/no/python'.*--lem-python"):
        start_worker(
            "x:Y",
            name="fake",
            python="/no/python",
            environment={},
            log_path=tmp_path / "log",
            limits=QUICK,
        )


def test_an_interpreter_without_the_plugin(tmp_path):
    """The remedy is the install command for that interpreter."""
    with pytest.raises(EngineNotAvailable, match="pip install --no-deps "):
        start_worker(
            "x:Y",
            name="fake",
            python=bare_python(tmp_path),
            environment={},
            log_path=tmp_path / "log",
            limits=QUICK,
        )


def bare_python(tmp_path):
    """An interpreter that looks for no installed packages."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize("how", ["sleep", "busy", "gil"])
@pytest.mark.parametrize("step", ["load", "generate"])
def test_a_hang_ends_at_the_limit_with_its_stacks(start, step, how):
    """A step that never returns is a Timeout naming step, limit, option and place."""
    client = start(limits=QUICK)
    script = {"hang_at": step, "hang_how": how, "spawn_child": True}
    with pytest.raises(Timeout) as caught:
        load_and_generate(client, script)
    assert caught.value.message == (
        f"fake, {step}: the worker took longer than its limit of 1 s; "
        "--lem-timeout sets the limit"
    )
    assert "_hang" in caught.value.detail
    assert group.members(client.pid) == []
    assert not client.usable


def test_silence_ends_before_the_limit(start):
    """A worker that gives no sign of life is not waited for until the limit."""
    client = start(limits=Limits(silence_s=2))
    told = r"fake, load: .* no sign of life for 2 s; lem_silence_timeout sets"
    with pytest.raises(Timeout, match=told):
        client.load({"engine": {"hang_at": "load", "hang_how": "gil"}})
    assert group.members(client.pid) == []


def test_beats_tell_the_step_and_how_far_it_is(start):
    """Who waits hears the step, and the batches done, at most twice a second."""
    beats = []
    client = loaded(start, on_beat=beats.append, prefill_s=0.4)
    client.generate([[1]] * 6, OPTIONS)
    assert len(beats) in (1, 2, 3)
    assert {(beat.step, beat.total) for beat in beats} == {("generate", 6)}
    assert 0 < beats[-1].done < 6
    assert beats[-1].rss_mb > 1
    assert beats[-1].elapsed_s > 0


@pytest.mark.parametrize("step", ["load", "generate"])
def test_a_worker_that_dies_is_told_with_its_signal(start, step):
    """A killed worker is a WorkerDied with signal and log; its children go too."""
    client = start()
    script = {"die_at": step, "spawn_child": True, "print_noise": True}
    with pytest.raises(WorkerDied, match="SIGKILL") as caught:
        load_and_generate(client, script)
    assert f"fake, {step}: the worker is lost" in caught.value.message
    assert "noise from Python" in caught.value.detail
    assert group.members(client.pid) == []


def test_a_worker_that_exits_is_told_with_its_status(start, engine_module):
    """An exit behind Python's back is a WorkerDied with the status."""
    target = engine_module(
        "import os\nclass Odd(FakeEngine):\n    def load(self, spec): os._exit(7)\n"
    )
    with pytest.raises(WorkerDied, match="exit status 7"):
        start(target).load({})


def test_a_worker_killed_while_nothing_is_asked(start, eventually):
    """Death between two requests is told at the next one."""
    client = loaded(start, spawn_child=True)
    os.kill(client.pid, signal.SIGKILL)  # the kernel ends the engine, soon after
    assert eventually(lambda: client.hello["pid"] not in group.members(client.pid))
    with pytest.raises(WorkerDied, match="SIGKILL"):
        client.generate([[1]], OPTIONS)
    assert group.members(client.pid) == []


def test_an_interrupt_is_felt_at_once_and_poisons(start):
    """KeyboardInterrupt leaves the wait; the engine is not used again, and closes."""
    client = loaded(start, hang_at="generate", spawn_child=True)
    threading.Timer(0.3, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        client.generate([[1]], OPTIONS)
    assert not client.usable
    assert len(group.members(client.pid)) == 3
    assert client.close() is None
    assert group.members(client.pid) == []


def test_an_error_of_the_listener_poisons(start):
    """What `on_beat` raises reaches the caller, and the engine is not used again."""

    armed = []

    def stop(beat):
        if armed:
            raise LookupError

    client = loaded(start, on_beat=stop, prefill_s=2.5)
    armed.append(True)
    with pytest.raises(LookupError):
        client.generate([[1]], OPTIONS)
    assert not client.usable


def test_a_failing_unload_is_returned_and_hides_nothing(start):
    """`close` tells what went wrong with the unload, and still ends everything."""
    client = loaded(start, fail_at="unload", fail_kind="error", spawn_child=True)
    assert client.close() == "fake, unload: the script fails at unload"
    assert group.members(client.pid) == []


def test_leaving_with_an_error_keeps_the_error(start):
    """An error inside `with` wins; the unload's failure is a note on it."""
    with pytest.raises(LookupError) as caught:
        with loaded(start, fail_at="unload", fail_kind="error"):
            raise LookupError
    assert caught.value.__notes__ == ["fake, unload: the script fails at unload"]


def test_leaving_without_an_error_raises_the_unload_s(start):
    """With no other error, the unload's failure is not lost."""
    with pytest.raises(WorkerDied, match="the script fails at unload"):
        with loaded(start, fail_at="unload", fail_kind="error"):
            pass


def test_an_unload_that_hangs_is_ended(start):
    """`close` waits for an unload up to its limit only."""
    client = loaded(start, QUICK, hang_at="unload")
    assert "fake, unload: the worker took longer than its limit" in client.close()
    assert group.members(client.pid) == []


def test_a_failing_engine_s_children_go_at_close(start):
    """Closing a poisoned engine ends grandchildren too."""
    client = start()
    script = {"fail_at": "load", "fail_kind": "engine_load", "spawn_child": True}
    with pytest.raises(EngineLoadError):
        client.load({"engine": script})
    assert len(group.members(client.pid)) == 3
    client.close()
    assert group.members(client.pid) == []


def test_a_child_deaf_to_termination_is_killed(start, engine_module):
    """A grandchild that ignores SIGTERM does not outlive `close`."""
    target = engine_module(
        "import subprocess, sys\n"
        "DEAF = 'import signal, time; signal.signal(15, 1); print(1, flush=True);'\n"
        "class Odd(FakeEngine):\n"
        "    def load(self, spec):\n"
        "        child = subprocess.Popen([sys.executable, '-c', DEAF +\n"
        "            'time.sleep(3600)'], stdout=subprocess.PIPE)\n"
        "        child.stdout.read(1)\n"
        "        return super().load(spec)\n"
    )
    client = start(target, limits=QUICK)
    client.load({})
    assert len(group.members(client.pid)) == 3
    client.close()
    assert group.members(client.pid) == []


RUNAWAY = """
import os, signal, subprocess, sys
from pathlib import Path
SLEEPS = "import time; time.sleep(3600)"
STARTS = (
    "import subprocess, sys;"
    "child = subprocess.Popen(sys.argv[1:], stdout=2, start_new_session=True);"
    "print(child.pid)"
)
class Odd(FakeEngine):
    def load(self, spec):
        sleeper = [sys.executable, "-c", SLEEPS]
        told = subprocess.run([sys.executable, "-c", STARTS, *sleeper],
                              stdout=subprocess.PIPE, start_new_session=True)
        Path(__file__).with_name("runaway").write_bytes(told.stdout)
        return super().load(spec)
"""


def is_dead(pid):
    """Whether it has ended; nobody may have reaped it yet."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("how", ["close", "kill", "death"])
def test_a_process_that_left_the_group_ends_with_it(
    start, engine_module, tmp_path, how, eventually
):
    """A new session and a dead parent do not help it, whichever side dies."""
    client = start(engine_module(RUNAWAY))
    client.load({})
    runaway = int((tmp_path / "runaway").read_text())
    assert os.getpgid(runaway) != client.pid
    assert runaway in group.members(client.pid)
    if how in ("close", "kill"):
        assert getattr(client, how)() is None
        assert is_dead(runaway)
        return
    os.kill(client.hello["pid"], signal.SIGKILL)
    assert eventually(lambda: is_dead(runaway))
    with pytest.raises(WorkerDied, match="SIGKILL"):
        client.generate([[1]], OPTIONS)


def test_a_value_that_json_cannot_hold_is_told(start, engine_module):
    """An engine that reports a foreign object fails by name, and does not hang."""
    target = engine_module(
        "class Odd(FakeEngine):\n"
        "    def collect(self, *args):\n"
        "        return {**super().collect(*args), 'native': {'x': object()}}\n"
    )
    client = start(target)
    client.load({})
    with pytest.raises(GenerationError) as caught:
        client.generate([[1]], OPTIONS)
    assert "holds a value that JSON cannot" in caught.value.message


def test_too_few_completions_are_an_error(start, engine_module):
    """An engine that answers fewer prompts than it was given is told."""
    target = engine_module(
        "class Odd(FakeEngine):\n"
        "    def prepare(self, prompts, options):\n"
        "        return super().prepare(prompts[1:], options)\n"
    )
    client = start(target)
    client.load({})
    with pytest.raises(GenerationError, match="2 completions for 3 prompts"):
        client.generate([[1], [2], [3]], OPTIONS)


def test_a_forgotten_client_takes_its_worker_along(start, tmp_path):
    """A client that is dropped without close leaves nothing."""
    client = start_worker(
        "pytest_lem.engines.fake:FakeEngine",
        name="fake",
        python=sys.executable,
        environment={},
        log_path=tmp_path / "log",
        limits=QUICK,
    )
    client.load({"engine": {"spawn_child": True}})
    pid = client.pid
    assert len(group.members(pid)) == 3
    del client
    assert group.members(pid) == []


def test_the_log_s_tail_is_the_worker_s_own(start):
    """Workers may share a log file; an error shows the lines of its own worker."""
    loaded(start, print_noise=True).close()
    with pytest.raises(WorkerDied) as caught:
        start().load({"engine": {"die_at": "load"}})
    assert caught.value.detail == ""
    with pytest.raises(WorkerDied) as caught:
        start().load({"engine": {"die_at": "load", "print_noise": True}})
    assert "worker.log:" in caught.value.detail
    assert "noise" in caught.value.detail
