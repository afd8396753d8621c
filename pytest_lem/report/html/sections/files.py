"""Files beside a report, which many experiments are in, read once."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


class Read(Generic[T]):
    """What a function reads of files, of the last `most` of them kept.

    One that has changed is read again.
    """

    def __init__(self, read: Callable[[Path], T], most: int) -> None:
        self._read = read
        self._most = most
        self._kept: dict[Path, tuple[int, T]] = {}

    def __call__(self, path: Path) -> T:
        """What is in the file; raises what reading it does."""
        changed_ns = path.stat().st_mtime_ns
        if path not in self._kept or self._kept[path][0] != changed_ns:
            found = self._read(path)
            while len(self._kept) >= self._most:
                self._kept.pop(next(iter(self._kept)))
            self._kept[path] = (changed_ns, found)
        return self._kept[path][1]
