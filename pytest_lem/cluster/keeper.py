"""The actor on a node: it keeps a pytest session there, and passes on what is said.

That session is a process of its own, below a guard: whatever ends the actor ends it,
its engine and all they started. This module is imported on the node by Ray.
"""

import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer
from typing import Any

from pytest_lem.cluster.handshake import versions
from pytest_lem.errors import LemError
from pytest_lem.worker.devices import as_assigned
from pytest_lem.worker.launch.process import WorkerProcess, spawn
from pytest_lem.worker.protocol import Message, encode, receive, write

SESSION_MODULE = "pytest_lem.front.remote.node"
ENDED_WITHIN_S = 5.0
_SHORTLY_S = 0.2


class Keeper:
    """Holds what Ray gave it, and the session that uses it, for as long as it lives."""

    def __init__(self) -> None:
        self._process: WorkerProcess | None = None
        self._log: Path | None = None
        # The kernel takes the thread that starts a process for its parent: one of ours,
        # which lasts as long as this process does.
        self._thread = ThreadPoolExecutor(1)

    def hello(self) -> dict[str, Any]:
        """Who this is: versions, host, and the folder that Ray has it work in."""
        return {
            "versions": versions().to_json(),
            "host": platform.node(),
            "folder": str(Path.cwd()),
        }

    def start(
        self, told: Mapping[str, Any], folder: str, variables: Mapping[str, str]
    ) -> dict[str, Any]:
        """Start the session in that folder; what it says when it has collected.

        `told` is what it is to know. `variables` are those of the driver that pytest
        itself heeds. What stands against it is a line under `refused`.
        """
        if not Path(folder).is_dir():
            return {"refused": [f"{folder} is not there"]}
        command = [sys.executable, "-m", SESSION_MODULE, "--parent", str(os.getpid())]
        try:
            log = Path(tempfile.mkdtemp(prefix="lem-node-")) / "session.log"
            self._log = log
            self._process = self._thread.submit(
                _spawn, command, folder, {**_environment(), **variables}, log
            ).result()
        except OSError as error:
            return {"refused": [f"no session starts in {folder}: {error}"]}
        answer = self.ask("start", told)
        if "code" in answer and not answer["refused"]:
            answer["refused"] = [self._last_words(answer["code"])]
        return answer | {"log": str(log)}

    def ask(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """What the session answers; `died` says how it ended where it did."""
        assert self._process is not None
        try:
            write(self._process.writer, encode(Message(kind=kind, body=dict(body))))
            answer = receive(self._process.reader)
        except (LemError, BrokenPipeError) as error:
            return {"died": self._ending(str(error))}
        return answer.body if answer else {"died": self._ending("")}

    def interrupt(self) -> None:
        """Have the session end what it runs, as Ctrl-C would."""
        if self._process is not None:
            self._process.signal(signal.SIGINT)

    def end(self, grace_s: float) -> dict[str, Any]:
        """End the session; what it has to say last.

        Its log is gone if it ended well; else `log` says where that is.
        """
        if self._process is None or self._log is None:
            return {}
        told = self.ask("end", {})
        self._process.wait(grace_s)
        self._process.end(grace_s)
        if not told.get("well"):
            return told | {"log": str(self._log)}
        shutil.rmtree(self._log.parent)
        return told

    def leave(self) -> None:
        """End this process shortly, where Ray cannot be told to."""
        Timer(_SHORTLY_S, os._exit, (0,)).start()

    def _last_words(self, code: int) -> str:
        assert self._process is not None
        lines = [line for line in self._process.log_tail().splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()]
        last = (errors or lines or ["its log is empty"])[-1]
        return f"pytest ended there with exit status {code}: {last}"

    def _ending(self, why: str) -> str:
        assert self._process is not None
        self._process.wait(ENDED_WITHIN_S)
        told = self._process.ending()
        return "\n".join(filter(None, [told, why, self._process.log_tail()]))


def _spawn(
    command: Sequence[str], folder: str, env: Mapping[str, str], log: Path
) -> WorkerProcess:
    popen, log_start = spawn(command, env=env, log_path=log, folder=folder)
    return WorkerProcess(popen, log, log_start)


def _environment() -> dict[str, str]:
    """As this machine has it, with the devices that Ray assigned.

    Ray sets a number of threads by the cores it was asked for, which would be measured.
    """
    text = Path("/proc/self/environ").read_text(encoding="utf-8", errors="replace")
    pairs = (entry.partition("=") for entry in text.split("\0") if "=" in entry)
    return as_assigned({key: value for key, _, value in pairs}, os.environ)
