"""Live progress on a terminal: one line, rewritten; nothing anywhere else."""

import time
from collections.abc import Callable

import pytest

from pytest_lem.measure.laboratory import Progress


class Silent:
    """Progress where nobody looks."""

    def phase(self, name: str, estimate_s: float | None = None) -> None:
        """Show nothing."""

    def tick(self) -> None:
        """Show nothing."""

    def clear(self) -> None:
        """Show nothing."""


class LiveLine:
    """`phase 12 s of about 20 s`, rewritten in place at most twice a second."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._name = ""
        self._estimate_s: float | None = None
        self._since_s = self._shown_s = 0.0

    def phase(self, name: str, estimate_s: float | None = None) -> None:
        """Begin a phase."""
        now = time.monotonic()
        if name.split(" ", maxsplit=1)[0] != self._name.split(" ")[0]:
            self._since_s = now
        self._name, self._estimate_s = name, estimate_s
        self.tick()

    def tick(self) -> None:
        """Show the phase and how long it has lasted."""
        now = time.monotonic()
        if now - self._shown_s < 0.5:
            return
        self._shown_s = now
        about = f", about {self._estimate_s:.0f} s to go" if self._estimate_s else ""
        self._write(f"lem: {self._name}, {now - self._since_s:.0f} s{about}")

    def clear(self) -> None:
        """Take the line away."""
        self._name = ""
        self._write("")


def progress_of(config: pytest.Config) -> Progress:
    """A live line on a terminal, silence elsewhere and in workers."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not reporter.isatty or config.option.verbose < 0:
        return Silent()
    capture = config.pluginmanager.get_plugin("capturemanager")

    def write(text: str) -> None:
        if capture is None:
            reporter.rewrite(text, erase=True)
            return
        with capture.global_and_fixture_disabled():
            reporter.rewrite(text, erase=True)

    return LiveLine(write)
