"""A real `lem serve`."""

import subprocess
import sys
from contextlib import contextmanager


@contextmanager
def served(*arguments):
    """A process of it, and where it says that it is."""
    command = [sys.executable, "-m", "pytest_lem.cli", "serve", "--port=0", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        place, _, told = process.stdout.readline().partition(" at ")
        yield process, place, told.removesuffix(" (Ctrl-C ends)\n")
    finally:
        process.kill()
        process.communicate()
