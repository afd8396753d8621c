"""Why a process of vLLM's did not start: what it wrote to the log of this worker.

vLLM itself only says that the cause is 'above'.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

_WHO = r"\((?P<who>\S+?) pid=(?P<pid>\d+)\)"
_LINE = re.compile(_WHO)
_WHAT = r"(?P<what>[A-Za-z_.]*(?:Error|Exception)(?:: .+)?)$"
_ERROR = re.compile(_WHO + r" ERROR .*?\] " + _WHAT)
_RANK = re.compile(r"VllmWorker-(\d+)")
_LOG = 2


def mark() -> int | None:
    """Where the log ends now; None where it is no file."""
    found = os.fstat(_LOG)
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def root_cause(since: int | None) -> str | None:
    """The first error that a process of vLLM's has logged since, and its rank."""
    if since is None:
        return None
    with open(f"/proc/self/fd/{_LOG}", "rb") as log:
        log.seek(since)
        return cause(log.read().decode(errors="replace"))


def cause(text: str) -> str | None:
    """The first error of a rank, else of the core, with who had it; None without one.

    A process has no rank in its name before it knows it, so it is known by its number.
    """
    found = [match for line in text.splitlines() if (match := _ERROR.match(line))]
    ranks = dict(_ranks(text))
    of_ranks = [one for one in found if one["who"].startswith(("Worker", "VllmWorker"))]
    for first in of_ranks or found:
        rank = ranks.get(first["pid"])
        who = first["who"] if rank is None else f"rank {rank}"
        return f"{who}: {first['what'].strip()}"
    return None


def _ranks(text: str) -> Iterator[tuple[str, str]]:
    for line in _LINE.finditer(text):
        if name := _RANK.match(line["who"]):
            yield line["pid"], name[1]
