"""A thread that hands requests over when they are due, whatever the engine does.

Standard library only: engines use it in their workers.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType

_SWITCH_S = 0.0005


class Dispatch:
    """Calls `send` with the place of each request at its time, in a thread of its own.

    `due_ns` are nanoseconds after the start, which is when the block is entered, and
    never go back. Leaving it waits for the rest, unless the block fails: then nothing
    more is sent. What `send` raises is raised at the end, and ends the sending.

    While it runs, a thread that computes in Python gives way after half a millisecond
    and not after the usual five, which would make requests late.
    """

    def __init__(self, due_ns: Sequence[int], send: Callable[[int], None]) -> None:
        self._after_ns = due_ns
        self._send = send
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: BaseException | None = None
        self._switch_s = sys.getswitchinterval()
        self.start_ns = 0

    @property
    def due_ns(self) -> list[int]:
        """When each request is due, on the monotonic clock."""
        return [self.start_ns + after_ns for after_ns in self._after_ns]

    def __enter__(self) -> Dispatch:
        sys.setswitchinterval(min(self._switch_s, _SWITCH_S))
        self.start_ns = time.monotonic_ns()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._stopped.set()
        self._thread.join()
        sys.setswitchinterval(self._switch_s)
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raise what `send` has raised, if it has."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for place, due_ns in enumerate(self.due_ns):
                early_s = (due_ns - time.monotonic_ns()) / 1e9
                if early_s > 0:
                    self._stopped.wait(early_s)
                if self._stopped.is_set():
                    return
                self._send(place)
        except BaseException as error:  # noqa: BLE001 - raised where the block ends
            self._error = error
