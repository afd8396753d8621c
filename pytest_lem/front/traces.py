"""`--lem-traces`: what the meters of a session gave, written beside its report."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.front.options.results import REPORTS
from pytest_lem.front.settings import Settings
from pytest_lem.meters.metering import Metering
from pytest_lem.meters.trace.recording import save
from pytest_lem.meters.trace.tape import Tape


class Traces:
    """The recording of a session, if one is asked for.

    `problem` says afterwards why there are no files where there should be.
    """

    def __init__(self, settings: Settings, session_id: str, spool: Path) -> None:
        self.problem: str | None = None
        self._settings = settings
        self._id = session_id
        self._tape = Tape(spool) if settings["traces"] else None

    def begin(self, metering: Metering) -> None:
        """Record from now on; raises ConfigError where no meter is at work."""
        if self._tape is None:
            return
        if not metering.names:
            raise ConfigError(
                f"{self._settings.says('traces')}: no meter is at work, so there is "
                "nothing to record"
            )
        metering.record(self._tape)

    def flush(self) -> None:
        """Write what was heard so far; between measurements, since it takes time."""
        if self._tape is not None:
            self._tape.flush()

    def save(self, meta: Mapping[str, Any]) -> dict[str, Any] | None:
        """Make the files; where they are, for the record."""
        if self._tape is None or not self._tape.used:
            return None
        directory: Path = self._settings["traces"]
        try:
            files = save(self._tape, directory, self._id, meta)
        # pyarrow's own errors are of the last two kinds.
        except (OSError, ValueError, TypeError) as error:
            self.problem = f"traces could not be written to {directory}: {error}"
            return None
        return {
            "path": self._relative(files.telemetry),
            "power_path": self._relative(files.power),
            "marks_path": self._relative(files.marks),
            "trace_path": self._relative(files.trace),
            "sample_interval_s": self._settings["sample-interval"],
        }

    def _relative(self, path: Path) -> str:
        """As the report that names it has it; without one, as the session does."""
        asked = (self._settings[name] for name in REPORTS)
        report = next(filter(None, asked), None)
        return os.path.relpath(path, report.parent if report else None)
