"""Real workers for the tests, and the proof that none is left."""

import os
import sys
import time

import pytest

from pytest_lem.worker import group
from pytest_lem.worker.client import Limits, start_worker
from pytest_lem.worker.devices import environment_for

FAKE = "pytest_lem.engines.fake:FakeEngine"
LIMITS = Limits(
    start_s=20, load_s=20, tokenize_s=20, generate_s=20, unload_s=20, silence_s=20
)


@pytest.fixture
def eventually():
    """Wait for a condition to hold; whether it does."""

    def wait(condition, within_s=10.0):
        deadline = time.monotonic() + within_s
        while not (holds := condition()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return holds

    return wait


@pytest.fixture
def start(tmp_path):
    """Start workers; at the end each is killed, and its whole group must be gone."""
    clients = []

    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]

    def start(target=FAKE, *, limits=LIMITS, on_beat=None, ranks=None, gpus=()):
        client = start_worker(
            target,
            name="fake",
            python=sys.executable,
            environment={
                **environment_for([*gpus]),
                "PYTHONPATH": os.pathsep.join(paths),
            },
            log_path=tmp_path / "logs" / "worker.log",
            limits=limits,
            on_beat=on_beat,
            ranks=ranks,
        )
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.kill()
        assert group.members(client.pid) == []


@pytest.fixture
def engine_module(tmp_path):
    """Write a module that a worker can import, around the fake engine."""

    def write(body, name="odd_engine"):
        head = "from pytest_lem.engines.fake import FakeEngine\n"
        (tmp_path / f"{name}.py").write_text(head + body)
        return f"{name}:Odd"

    return write
