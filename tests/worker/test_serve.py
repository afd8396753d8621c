"""The worker's side: what it does inside a window, and how its process ends."""

import json
import os
import signal
import subprocess
import sys

import pytest

from pytest_lem.engines import GenerateOptions
from pytest_lem.worker import group, protocol
from pytest_lem.worker.protocol import PROTOCOL, Message, encode, receive, write

FAKE = "pytest_lem.engines.fake:FakeEngine"


@pytest.fixture
def raw(tmp_path, eventually):
    """A worker without a client: its process, alone with the pipes."""
    started = []

    def start():
        log = (tmp_path / "log").open("wb")
        worker = subprocess.Popen(
            [sys.executable, "-m", "pytest_lem.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
        )
        log.close()
        started.append(worker)
        return worker

    yield start
    for worker in started:
        assert eventually(lambda pid=worker.pid: not group.members(pid))
        worker.wait()
        worker.stdin.close()
        worker.stdout.close()


def send(fd, message):
    write(fd, encode(message))


def ask(worker, kind, **body):
    send(worker.stdin.fileno(), Message(kind=kind, id=7, body=body))
    while (answer := receive(worker.stdout.fileno())).kind == "heartbeat":
        pass
    return answer


def test_the_window_holds_generation_only(start, engine_module):
    """Prepare, synchronise, run each batch, synchronise, collect: in this order."""
    target = engine_module(
        "CALLS = []\n"
        "def logged(name):\n"
        "    def call(self, *args):\n"
        "        CALLS.append(name)\n"
        "        return getattr(FakeEngine, name)(self, *args)\n"
        "    return call\n"
        "class Odd(FakeEngine):\n"
        "    scripted = False\n"
        "    names = ('prepare', 'synchronize', 'run')\n"
        "    prepare, synchronize, run = map(logged, names)\n"
        "    def collect(self, batches, outcomes, spans, options):\n"
        "        fields = dict(super().collect(batches, outcomes, spans, options))\n"
        "        del fields['start_ns'], fields['end_ns']\n"
        "        native = {'calls': [*CALLS, 'collect'], 'spans': spans}\n"
        "        return fields | {'native': native}\n"
    )
    client = start(target)
    client.load({"engine": {"prefill_s": 0.01}})
    got = client.generate([[1]] * 3, GenerateOptions(output_tokens=2, batch_size=2))
    assert got.native["calls"] == [
        *("prepare", "synchronize", "run", "run", "synchronize", "collect")
    ]
    ends = [instant for span in got.native["spans"] for instant in span]
    assert [got.start_ns, *ends, got.end_ns] == sorted(
        [got.start_ns, *ends, got.end_ns]
    )
    assert got.duration_s >= 0.02


def test_an_engine_that_is_not_scripted_cannot_move_the_window(start, engine_module):
    """The ends are the worker's own stamps, whatever an engine returns."""
    target = engine_module("class Odd(FakeEngine):\n    scripted = False\n")
    client = start(target)
    client.load({"engine": {"latency_script_s": [0.05]}})
    got = client.generate([[1]], GenerateOptions(output_tokens=2))
    done = got.completions[0]
    assert got.start_ns <= done.sent_ns
    assert got.end_ns > done.ended_ns


def test_python_s_random_numbers_follow_the_seed(start, engine_module):
    """The same seed gives the same random numbers in the engine."""
    target = engine_module(
        "import random\n"
        "class Odd(FakeEngine):\n"
        "    def prepare(self, *args):\n"
        "        self.drawn = random.random()\n"
        "        return super().prepare(*args)\n"
        "    def collect(self, *args):\n"
        "        return {**super().collect(*args), 'native': {'drawn': self.drawn}}\n"
    )
    client = start(target)
    client.load({})
    drawn = [
        client.generate([[1]], GenerateOptions(output_tokens=1, seed=seed)).native
        for seed in (5, 5, 6)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_worker_s_side_imports_the_standard_library_only():
    """Beside an engine, pytest-lem needs no other package."""
    modules = "{m.partition('.')[0] for m in sys.modules}"
    program = (
        "import sys, json\n"
        f"before = {modules}\n"
        "import pytest_lem.worker.__main__, pytest_lem.engines.fake\n"
        f"print(json.dumps(sorted({modules} - before)))\n"
    )
    command = [sys.executable, "-P", "-c", program]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    foreign = set(json.loads(out)) - set(sys.stdlib_module_names)
    assert foreign == {"pytest_lem"}


def test_the_end_of_the_pipe_ends_the_group(raw, eventually):
    """A worker whose parent is gone ends, also while its engine hangs."""
    worker = raw()
    assert ask(worker, "hello", engine=FAKE, name="fake").kind == "hello"
    script = {"spawn_child": True, "hang_at": "load"}
    send(worker.stdin.fileno(), Message(kind="load", body={"spec": {"engine": script}}))
    assert eventually(lambda: len(group.members(worker.pid)) == 3)
    worker.stdin.close()
    assert eventually(lambda: not group.members(worker.pid))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("how", ["sleep", "gil"])
def test_a_signal_to_the_worker_ends_its_group(raw, signum, how, eventually):
    """SIGTERM and SIGKILL take grandchildren along, whatever the main thread does."""
    worker = raw()
    pid = ask(worker, "hello", engine=FAKE, name="fake").body["pid"]
    script = {"spawn_child": True, "hang_at": "load", "hang_how": how}
    send(worker.stdin.fileno(), Message(kind="load", body={"spec": {"engine": script}}))
    assert eventually(lambda: len(group.members(worker.pid)) == 3)
    os.kill(pid, signum)
    assert eventually(lambda: not group.members(worker.pid))
    assert worker.wait() == -signum


def test_another_protocol_is_answered_and_ends(raw, monkeypatch):
    """A parent of another version gets one error that names both, then the end."""
    worker = raw()
    with monkeypatch.context() as patch:
        patch.setattr(protocol, "PROTOCOL", 99)
        frames = protocol.encode(Message(kind="hello"))
    protocol.write(worker.stdin.fileno(), frames)
    answer = receive(worker.stdout.fileno())
    assert answer.kind == "error"
    assert answer.body["error"] == "protocol"
    assert f"speaks protocol 99, this one {PROTOCOL}" in answer.body["message"]
    assert receive(worker.stdout.fileno()) is None


def test_garbage_is_answered_and_ends(raw):
    """Something that is no message gets one error, then the end."""
    worker = raw()
    worker.stdin.write(b"GET / HTTP/1.1\r\n")
    assert "this is no message" in receive(worker.stdout.fileno()).body["message"]
    assert receive(worker.stdout.fileno()) is None


@pytest.mark.parametrize(
    ("kind", "error"), [("load", "engine_load"), ("dance", "protocol")]
)
def test_a_request_out_of_place_is_an_error(raw, kind, error):
    """Work before hello, and requests nobody knows, are answered as errors."""
    worker = raw()
    answer = ask(worker, kind, spec={})
    assert (answer.kind, answer.id) == ("error", 7)
    assert answer.body["error"] == error
    assert ask(worker, "exit").kind == "exit"
    assert worker.wait() == 0


PARENT = """
import os, sys, threading, time
from pathlib import Path
from pytest_lem.worker.client import Limits, start_worker
client = start_worker({fake!r}, name="fake", python=sys.executable, environment={{}},
                      log_path=Path({log!r}), limits=Limits())
spec = {{"engine": {script}}}
threading.Thread(target=client.load, args=(spec,), daemon=True).start()
print(client.pid, flush=True)
time.sleep(3600)
"""


@pytest.mark.parametrize("how", ["sleep", "gil"])
def test_a_killed_parent_leaves_nothing(tmp_path, how, eventually):
    """kill -9 of the pytest process ends the worker and its children."""
    script = {"spawn_child": True, "hang_at": "load", "hang_how": how}
    program = PARENT.format(fake=FAKE, log=str(tmp_path / "log"), script=script)
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    )
    pid = int(parent.stdout.readline())
    assert eventually(lambda: len(group.members(pid)) == 3)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert eventually(lambda: not group.members(pid))


def test_a_parent_that_just_ends_leaves_nothing(tmp_path):
    """An interpreter that exits without closing its client takes the worker along."""
    program = PARENT.format(
        fake=FAKE, log=str(tmp_path / "log"), script={"spawn_child": True}
    ).replace("time.sleep(3600)", "time.sleep(0.3)")
    out = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, check=True
    ).stdout
    assert group.members(int(out)) == []
