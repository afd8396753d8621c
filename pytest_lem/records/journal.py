"""The journal: every cycle on disk the moment it exists."""

import os
from pathlib import Path

from pytest_lem.records.record import Cycle


class Journal:
    """Appends cycles to `cycles.jsonl`, one line each, flushed to the disk itself."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "cycles.jsonl"

    def append(self, experiment_id: str, identity: str, cycle: Cycle) -> None:
        """Write one cycle and return when it is on the disk."""
        line = (
            f'{{"experiment_id":{_quoted(experiment_id)},"identity":"{identity}",'
            f'"cycle":{cycle.model_dump_json()}}}\n'
        )
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def _quoted(text: str) -> str:
    import json

    return json.dumps(text)
