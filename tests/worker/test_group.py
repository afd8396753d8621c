"""Process groups, looked at through the kernel's eyes."""

import os
import signal
import subprocess
import sys

from pytest_lem.worker import group


def sleeper(program="import time; time.sleep(3600)"):
    return subprocess.Popen(
        [sys.executable, "-c", program], start_new_session=True, stdout=subprocess.PIPE
    )


def finish(process):
    process.wait()
    process.stdout.close()


def test_members_are_the_living():
    """A process is a member while it lives; dead but unreaped it is none."""
    process = sleeper()
    assert group.members(process.pid) == [process.pid]
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert group.members(process.pid) == []
    finish(process)
    assert group.members(process.pid) == []


def test_a_group_that_obeys_is_only_terminated():
    """Where SIGTERM is enough, no process is killed."""
    process = sleeper()
    group.end(process.pid, grace_s=20)
    finish(process)
    assert process.returncode == -signal.SIGTERM


def test_a_group_that_does_not_obey_is_killed():
    """After the grace comes SIGKILL."""
    process = sleeper(
        "import signal, time; signal.signal(15, signal.SIG_IGN);"
        "print(1, flush=True); time.sleep(3600)"
    )
    process.stdout.read(1)
    group.end(process.pid, grace_s=0.1)
    finish(process)
    assert process.returncode == -signal.SIGKILL


def test_who_stays_is_told():
    """Waiting for a group tells who is left; those to spare do not count."""
    process = sleeper()
    assert group.vanish(process.pid, within_s=0) == [process.pid]
    assert group.vanish(process.pid, within_s=0, spare={process.pid}) == []
    process.kill()
    finish(process)


def test_a_group_that_is_gone_is_no_error():
    """Signals to nobody are allowed."""
    process = sleeper()
    process.kill()
    finish(process)
    group.signal_all(process.pid, signal.SIGKILL)
    group.end(process.pid, grace_s=0)
