"""Stands over a command that runs a container: what it started ends with it.

`python -m pytest_lem.worker.launch.warden [--remove NAME] [--discard DIR] -- COMMAND`
becomes a guard and, below it, the command with this process's pipes. A container is
nobody's child, so no signal reaches it: once the command or the parent is dead, however
that died, the guard has the container removed, and the directory with its secret.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
from functools import partial

from pytest_lem.worker import group
from pytest_lem.worker.launch.runtime import KNOWN, Runtime

# What may come while a container is removed; handlers, unlike masks, are not inherited.
_DEAF_TO = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


def main() -> None:
    """Leave a guard behind, and become the command."""
    parser = argparse.ArgumentParser(prog="python -m pytest_lem.worker.launch.warden")
    parser.add_argument("--parent", type=int, required=True, metavar="PID")
    parser.add_argument("--kind", choices=KNOWN, required=True)
    parser.add_argument("--remove", metavar="NAME")
    parser.add_argument("--discard", metavar="DIR")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    command: list[str] = arguments.command
    runtime = Runtime(command=command[0], kind=arguments.kind, version="")
    last = partial(_clear_up, runtime, arguments.remove, arguments.discard)
    group.guard(parent=arguments.parent, close=(0, 1), last=last)
    os.execv(command[0], command)  # noqa: S606  this is what it is for


def _clear_up(runtime: Runtime, name: str | None, discard: str | None) -> None:
    for signum in _DEAF_TO:
        signal.signal(signum, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if discard is not None:
        shutil.rmtree(discard, ignore_errors=True)
    if name is not None and (problem := runtime.remove(name)):
        os.write(2, f"{problem}\n".encode())


if __name__ == "__main__":
    main()
