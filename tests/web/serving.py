"""A real `lem serve`."""

import os
import subprocess
import sys
from contextlib import contextmanager


@contextmanager
def served(*arguments):
    """A process of it, and where it says that it is."""
    command = [sys.executable, "-m", "pytest_lem.cli", "serve", "--port=0", *arguments]
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    mine = {k: v for k, v in os.environ.items() if not k.startswith("LEM_")}
    process = subprocess.Popen(command, text=True, env=mine, **pipes)
    try:
        place, _, told = process.stdout.readline().partition(" at ")
        yield process, place, told.removesuffix(" (Ctrl-C ends)\n")
    finally:
        process.kill()
        process.communicate()
