"""Sessions on a real engine, whose worker is stopped and continued from outside."""

import os
import signal
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

SOURCE = """
import pytest

@pytest.mark.lem
def test_it(lem):
    lem()
"""


class Sessions:
    """Sessions of one experiment in a project of its own, each in a process.

    They are saved as reports, or under a label of the project's store.
    """

    def __init__(self, pytester, ini, label=None):
        self._label = label
        self._pytester = pytester
        lines = ["[pytest]", "addopts = -p no:randomly", *ini]
        pytester.makefile(".ini", pytest="\n".join(lines))
        pytester.makepyfile(test_it=SOURCE)
        self.path = pytester.path
        self.saved = 0

    def save(self, count):
        """So many sessions that become the reference."""
        for _ in range(count):
            self.saved += 1
            label = f"--lem-save={self._label}"
            where = label if self._label else f"--lem-json=day{self.saved}.json"
            self._pytester.runpytest_subprocess(where).assert_outcomes(passed=1)

    def compare(self, *more):
        """A session that is held against those saved."""
        days = [f"day{k + 1}.json" for k in range(self.saved)]
        names = [self._label] if self._label else days
        asked = (*(f"--lem-compare={name}" for name in names), "--lem-json=r.json")
        return self._pytester.runpytest_subprocess(*asked, *more)


@contextmanager
def hindered(folder, share, period_s=0.2):
    """Stop the workers that were started in a folder, for a share of the time."""
    over = threading.Event()

    def hinder():
        leaders = set()
        while not over.wait(period_s * (1 - share)):
            leaders = {one for one in leaders if _sent(one, 0)} or _leaders(folder)
            stopped = {one for one in leaders if _sent(one, signal.SIGSTOP)}
            time.sleep(period_s * share)
            for one in stopped:
                _sent(one, signal.SIGCONT)

    thread = threading.Thread(target=hinder)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _sent(leader, signum):
    with suppress(ProcessLookupError):
        os.killpg(leader, signum)
        return True
    return False


def _leaders(folder):
    """The groups of the workers whose working directory is this folder."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            of_worker = b"pytest_lem.worker" in (entry / "cmdline").read_bytes()
            if of_worker and (entry / "cwd").resolve() == folder.resolve():
                found.add(os.getpgid(int(entry.name)))
    return found
