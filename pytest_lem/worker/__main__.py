"""The worker's process: `python -m pytest_lem.worker [--parent PID]`.

Requests come on standard input and answers leave on standard output, both moved to
private descriptors at once; whatever else is printed lands in the log (descriptor 2).
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import signal
import sys
from io import TextIOWrapper

from pytest_lem.worker import group
from pytest_lem.worker.serve import Worker


def main() -> None:
    """Take the pipes, leave a guard behind, and serve until told to exit."""
    parser = argparse.ArgumentParser(prog="python -m pytest_lem.worker")
    parser.add_argument("--parent", type=int, metavar="PID")
    parent: int | None = parser.parse_args().parent
    # Who started this and is its parent has also given it a group.
    if parent is None and os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    reader, writer = _take_pipes()
    group.guard(parent=parent, close=(reader, writer))
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    Worker(reader, writer).serve()


def _take_pipes() -> tuple[int, int]:
    reader, writer = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    return reader, writer


if __name__ == "__main__":
    main()
