"""Whether this machine can measure: one check after the other, and what to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pytest_lem.machine.gpu import Gpu

State = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at: what was found, and the remedy where it is not ok.

    `failed` keeps a run from working or its numbers from being right, a `warning` takes
    something away, `skipped` does not apply here.
    """

    name: str
    state: State
    found: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the checks look at: GPUs as NVML shows them, and where engines are to run.

    `pythons` and `images` are those that were named, by backend. `container` is what
    runs containers, and `arguments` are more of them for its `run`. `root` is where
    /proc, /sys and /dev are looked for.
    """

    gpus: Sequence[Gpu] = ()
    pythons: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    container: str = "auto"
    arguments: Sequence[str] = ()
    root: Path = Path("/")


Look = Callable[[], Iterable[Check]]


def at_once(looks: Mapping[str, Look], within_s: float) -> Iterator[Check]:
    """What each look finds, in their order; all begin at once and share the time.

    A look that is late, or that fails itself, is a failed check of its name. Late ones
    are left behind in threads that end with the process.
    """
    deadline = time.monotonic() + within_s
    found: dict[str, list[Check]] = {}

    def work(name: str, look: Look) -> None:
        try:
            found[name] = list(look())
        except Exception as error:  # noqa: BLE001 - told as what was found
            told = f"the check itself fails: {type(error).__name__}: {error}"
            remedy = "please report it, with the output of `lem doctor --json`"
            found[name] = [Check(name=name, state="failed", found=told, remedy=remedy)]

    threads = [
        threading.Thread(target=work, args=one, daemon=True) for one in looks.items()
    ]
    for thread in threads:
        thread.start()
    for thread, name in zip(threads, looks, strict=True):
        thread.join(max(0.0, deadline - time.monotonic()))
        yield from found.get(name, [_late(name, within_s)])


def _late(name: str, within_s: float) -> Check:
    return Check(
        name=name,
        state="failed",
        found=f"no answer within {within_s:.0f} s",
        remedy="something hangs: look at the load of this machine and at `dmesg`",
    )
