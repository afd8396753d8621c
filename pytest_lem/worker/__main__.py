"""The worker's process: `python -m pytest_lem.worker [--parent PID] [--meeting FD]`.

Requests come on standard input and answers leave on standard output, both moved to
private descriptors at once; whatever else is printed lands in the log (descriptor 2).
With `--meeting` it is one of several ranks, which meet there before each window.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import signal

from pytest_lem.worker import group
from pytest_lem.worker.meeting import meeting_at
from pytest_lem.worker.protocol import take_pipes
from pytest_lem.worker.serve import Worker


def main() -> None:
    """Take the pipes, leave a guard behind, and serve until told to exit."""
    parser = argparse.ArgumentParser(prog="python -m pytest_lem.worker")
    parser.add_argument("--parent", type=int, metavar="PID")
    parser.add_argument("--meeting", type=int, metavar="FD")
    arguments = parser.parse_args()
    parent: int | None = arguments.parent
    meeting: int | None = arguments.meeting
    # Who started this and is its parent has also given it a group.
    if parent is None and os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    reader, writer = take_pipes()
    fds = (reader, writer) if meeting is None else (reader, writer, meeting)
    group.guard(parent=parent, close=fds)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    meet = None if meeting is None else meeting_at(meeting)
    Worker(reader, writer, meet=meet).serve()


if __name__ == "__main__":
    main()
