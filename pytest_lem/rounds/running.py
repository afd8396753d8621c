"""One session of pytest in its own process, in a checkout whose code it imports."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_lem.rounds.checkout import Checkout

# How long an interrupted session has to close its engines.
_PATIENCE_S = 60.0
_STATUS = {
    1: "tests failed",
    2: "it was interrupted, or tests cannot be collected",
    3: "an error inside of pytest",
    4: "pytest was asked for what cannot be",
    5: "no tests there",
}
# What would be no other in the next session.
_FOR_GOOD = (2, 3, 4, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a session ended: pytest's exit status, and why it does not count."""

    status: int
    duration_s: float
    problem: str | None

    @property
    def for_good(self) -> bool:
        """Whether the next session would end as this did."""
        return self.status in _FOR_GOOD


def run_session(
    place: Checkout, arguments: Sequence[str], report: Path, log: Path
) -> Ended:
    """Run `python -m pytest`; what it prints goes to `log`, its record to `report`.

    Interrupted, it lets the session close its engines; interrupted again, it kills it.
    """
    command = [sys.executable, "-m", "pytest", *arguments, f"--lem-json={report}"]
    began_s = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=place.start,
            env=_environment(place),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C reaches it through us alone, once
        )
        with _ending(process):
            status = process.wait()
    problem = None
    if status != 0:
        problem = _STATUS.get(status, f"pytest ended with {status}")
    elif not report.is_file():
        problem = "nothing was measured: there is no report"
    return Ended(status=status, duration_s=time.monotonic() - began_s, problem=problem)


@contextmanager
def _ending(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """No session outlives its round."""
    try:
        yield
    except BaseException:
        process.terminate()
        try:
            process.wait(_PATIENCE_S)
        finally:
            process.kill()
            process.wait()
        raise


def _environment(place: Checkout) -> dict[str, str]:
    """The checkout's own code wins over whatever is installed, in workers as well."""
    before = os.environ.get("PYTHONPATH")
    paths = [place.root / "src", place.root]
    found = [str(one) for one in paths if one.is_dir()]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*found, *filter(None, [before])]),
    }
