"""Sessions of pytest whose engines are in real containers.

`.ci/containers` makes the image, and says by LEM_TEST_IMAGE and LEM_TEST_RUNTIME which
it is and what runs it.
"""

import os
import subprocess
import sys
import time

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.records.record import Record
from pytest_lem.worker.launch.runtime import find

INI = """
[pytest]
addopts = -p no:randomly
lem_meter = fake:100
lem_idle = off
lem_windows = 2
lem_warmup = off
lem_cycles = 1
lem_container_command = {runtime}
lem_set =
    input_tokens=8
    output_tokens=8
    precision=float32
"""


@pytest.fixture(scope="session")
def image():
    """The image of transformers, which has the scripted engine as well."""
    name = os.environ.get("LEM_TEST_IMAGE")
    if not name:
        pytest.skip("LEM_TEST_IMAGE names no image; .ci/containers makes one")
    return name


@pytest.fixture(scope="session")
def runtime():
    """The command that runs containers."""
    try:
        return find(os.environ.get("LEM_TEST_RUNTIME", "auto"))
    except ConfigError as error:
        pytest.skip(str(error))


class Session:
    """A pytest process in a session of its own, as a terminal would start it."""

    def __init__(self, directory, runtime, arguments, environment):
        self.directory = directory
        self.runtime = runtime
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "pytest", "--lem-json=r.json", *arguments],
            cwd=directory,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def containers(self):
        """Those of this session, also while they come and go."""
        sessions = (self.directory / ".lem").glob("sessions/*")
        told = [
            self.runtime.ask(
                *("ps", "--all", "--format={{.Names}}"),
                f"--filter=label=pytest-lem={one.name}",
            )
            for one in sessions
        ]
        return " ".join(told).split()

    def wait_for(self, holds, within_s=60):
        """Wait until something is so; what it is."""
        deadline = time.monotonic() + within_s
        while not (found := holds()):
            assert time.monotonic() < deadline, self.popen.poll()
            time.sleep(0.1)
        return found

    def end(self):
        """Wait for the end; exit code and output."""
        output, _ = self.popen.communicate(timeout=300)
        return self.popen.returncode, output

    def report(self):
        """What it found."""
        return Record.model_validate_json((self.directory / "r.json").read_bytes())


@pytest.fixture
def begin(tmp_path, runtime):
    """Begin a session; at the end none of its containers may be left."""
    sessions = []

    def begin(source, *arguments, **environment):
        directory = tmp_path / f"project{len(sessions)}"
        directory.mkdir()
        (directory / "test_it.py").write_text(source)
        (directory / "pytest.ini").write_text(INI.format(runtime=runtime.command))
        environment.setdefault("LEM_CACHE_DIR", str(tmp_path / "cache"))
        sessions.append(Session(directory, runtime, arguments, environment))
        return sessions[-1]

    yield begin
    for session in sessions:
        session.popen.kill()
        session.popen.wait()
        left = session.containers()
        for name in left:
            runtime.remove(name)
        assert left == []
