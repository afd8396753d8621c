"""The journal: every cycle on disk the moment it exists."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pytest_lem.errors import StoreError
from pytest_lem.records.files import append_line, write_atomic
from pytest_lem.records.record import Cycle

ASIDE = "cycles.aside.jsonl"
"""Beside a journal: its lines that count no more."""


@dataclass(frozen=True)
class Line:
    """A line of a journal: the cycle of an experiment, and what the line hashes to."""

    text: str

    @cached_property
    def sha256(self) -> str:
        """Hex digits of the hash of its bytes, the end of the line left out."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def parts(self) -> tuple[str, str, Cycle] | None:
        """Experiment, identity and cycle; None for a line that is not whole."""
        try:
            told = json.loads(self.text)
            cycle = Cycle.model_validate(told["cycle"])
            return told["experiment_id"], told["identity"], cycle
        except (ValueError, TypeError, KeyError):
            return None


class Journal:
    """Appends cycles to `cycles.jsonl`, one line each, flushed to the disk itself."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "cycles.jsonl"

    def append(self, experiment_id: str, identity: str, cycle: Cycle) -> str:
        """Write one cycle; the hash of its line, when that is on the disk.

        Raises StoreError where it cannot be; the lines before it stay whole.
        """
        line = Line(
            f'{{"experiment_id":{json.dumps(experiment_id)},"identity":"{identity}",'
            f'"cycle":{cycle.model_dump_json()}}}'
        )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            append_line(self.path, line.text.encode())
        except OSError as error:
            raise StoreError(
                f"cycle {cycle.index} of {experiment_id} could not be written to "
                f"{self.path}: {error.strerror or error}; what was written before is "
                "whole: `--lem-resume` goes on from there"
            ) from error
        return line.sha256

    def lines(self) -> list[Line]:
        """What is in it, as `read_lines` has it."""
        return read_lines(self.path)

    def keep(self, wanted: Collection[str]) -> list[Line]:
        """Move all lines but those of these hashes to a file beside it; the others.

        Raises StoreError where that cannot be written.
        """
        kept: list[Line] = []
        others: list[Line] = []
        seen: set[str] = set()
        for line in self.lines():
            counts = line.sha256 in wanted and line.sha256 not in seen
            (kept if counts else others).append(line)
            seen.add(line.sha256)
        try:
            for line in others:
                append_line(self.path.with_name(ASIDE), line.text.encode())
            if others:
                write_atomic(self.path, "".join(f"{one.text}\n" for one in kept))
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror or error}") from error
        return others


def read_lines(path: Path) -> list[Line]:
    """The lines of a journal, one that was cut off included; none where there is none.

    Raises StoreError where it cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
    return [Line(one.decode("utf-8", "replace")) for one in content.splitlines()]
