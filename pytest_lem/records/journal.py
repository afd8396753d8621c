"""The journal: every cycle on disk the moment it exists, and read back from there."""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from pytest_lem.errors import StoreError
from pytest_lem.records.files import append_line, replacing
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
        self._places: dict[str, tuple[int, int]] = {}  # by hash: where, how many bytes

    def append(self, experiment_id: str, identity: str, cycle: Cycle) -> str:
        """Write one cycle; the hash of its line, when that is on the disk.

        Raises StoreError where it cannot be; the lines before it stay whole.
        """
        line = Line(
            f'{{"experiment_id":{json.dumps(experiment_id)},"identity":"{identity}",'
            f'"cycle":{cycle.model_dump_json()}}}'
        )
        content = line.text.encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            at = append_line(self.path, content)
        except OSError as error:
            raise StoreError(
                f"cycle {cycle.index} of {experiment_id} could not be written to "
                f"{self.path}: {error.strerror or error}; what was written before is "
                "whole: `--lem-resume` goes on from there"
            ) from error
        self._places[line.sha256] = at, len(content)
        return line.sha256

    def read(self, hashes: Sequence[str]) -> list[Cycle]:
        """The cycles of the lines of these hashes, as they were written.

        Raises StoreError where one is not there any more as it was.
        """
        try:
            with self.path.open("rb") as file:
                found = [self._at(file, one) or self._sought(one) for one in hashes]
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error
        told = [line.parts for line in found]
        cycles = [one[2] for one in told if one is not None]
        if len(cycles) < len(hashes):
            raise self._unreadable("a line holds no cycle")
        return cycles

    def size(self, sha256: str) -> int:
        """The bytes of a line that was written or read; 0 of any other."""
        return self._places.get(sha256, (0, 0))[1]

    def lines(self) -> Iterator[Line]:
        """What is in it, as `read_lines` has it."""
        return read_lines(self.path)

    def keep(self, wanted: Collection[str]) -> None:
        """Move all lines but those of these hashes to a file beside it.

        Raises StoreError where that cannot be written.
        """
        aside = self.path.with_name(ASIDE)
        others = 0
        try:
            for line, counts in _sorted(self.lines(), wanted):
                if not counts:
                    append_line(aside, line.text.encode())
                    others += 1
            if others:
                with replacing(self.path) as draft, draft.open("wb") as file:
                    for line, counts in _sorted(self.lines(), wanted):
                        file.write(line.text.encode() + b"\n" if counts else b"")
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror or error}") from error

    def _at(self, file: BinaryIO, sha256: str) -> Line | None:
        """The line of a hash, where it was last; None if it is not there."""
        if sha256 not in self._places:
            return None
        at, length = self._places[sha256]
        file.seek(at)
        line = Line(file.read(length).decode("utf-8", "replace"))
        return line if line.sha256 == sha256 else None

    def _sought(self, sha256: str) -> Line:
        """The line of a hash, wherever it is now: `keep` may have moved all of them."""
        found, at = None, 0
        for content in _contents(self.path):
            line = Line(content.decode("utf-8", "replace"))
            self._places[line.sha256] = at, len(content)
            at += len(content) + 1
            found = line if line.sha256 == sha256 else found
        if found is None:
            raise self._unreadable("a line is gone, or is not as it was written")
        return found

    def _unreadable(self, why: str) -> StoreError:
        return StoreError(f"{self.path}, in which the session's cycles are: {why}")


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a journal, one that was cut off included; none where there is none.

    Raises StoreError where it cannot be read.
    """
    try:
        for content in _contents(path):
            yield Line(content.decode("utf-8", "replace"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error


def _contents(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            yield line.removesuffix(b"\n")


def _sorted(
    lines: Iterator[Line], wanted: Collection[str]
) -> Iterator[tuple[Line, bool]]:
    """Each line, and whether it counts; what is there twice does so once."""
    seen: set[str] = set()
    for line in lines:
        yield line, line.sha256 in wanted and line.sha256 not in seen
        seen.add(line.sha256)
