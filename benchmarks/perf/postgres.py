"""A PostgreSQL of its own, without a port, that ends with who started it."""

import getpass
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_S = 60.0


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, the newest; Debian hides them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    elsewhere = shutil.which("initdb")
    return next((one.parent for one in found), elsewhere and Path(elsewhere).parent)


@contextmanager
def server(folder: Path, options: str = "") -> Iterator[str | None]:
    """Its user, where `folder` is its host; None where PostgreSQL is not installed.

    It refuses to be root's; who is root has one of nobody's. RuntimeError with its log
    where it does not start.
    """
    there = programs()
    if there is None:
        yield None
        return
    root = os.geteuid() == 0
    user = "nobody" if root else getpass.getuser()
    who: dict[str, Any] = {"user": user} if root else {}
    if root:
        shutil.chown(folder, user)
    data, log = folder / "data", folder / "log"
    command = [there / "initdb", "-D", data, "-U", user, "--auth=trust", "--no-sync"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, **who)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [
                # The kernel ends it as a crash would when its parent is gone.
                *("setpriv", "--pdeathsig", "QUIT"),
                *(there / "postgres", "-D", data, "-k", folder),
                *("-c", "listen_addresses=", *options.split()),
            ],
            cwd=folder,
            stdout=file,
            stderr=file,
            **who,
        )
    try:
        ready = [there / "pg_isready", "-q", "-h", folder, "-U", user, "-d", "postgres"]
        ends_s = time.monotonic() + START_S
        while subprocess.run(ready, check=False).returncode:
            if process.poll() is not None or time.monotonic() > ends_s:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}")
            time.sleep(0.05)
        yield user
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait()


@contextmanager
def databases() -> Iterator[dict[str, str | None]]:
    """Where a store may be made of each kind; None where it is not installed."""
    with (
        tempfile.TemporaryDirectory() as name,
        tempfile.TemporaryDirectory() as other,
        server(Path(other)) as user,
    ):
        url = user and f"postgresql:///postgres?host={other}&user={user}"
        yield {"SQLite": str(Path(name) / "results.db"), "PostgreSQL": url}
