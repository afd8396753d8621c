"""Writing files so that a reader sees the old content or the new, never a part."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft beside `path` to write to; moved in place, from the disk, at the end."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_atomic(path: Path, text: str) -> None:
    """Write UTF-8 text beside `path`, flush it to the disk, and move it in place."""
    with (
        replacing(path) as draft,
        draft.open("w", encoding="utf-8", newline="") as file,
    ):
        file.write(text)


def append_line(path: Path, line: bytes) -> int:
    """Append a line, on the disk on return; the byte of the file that it begins at.

    The file is as it was where that fails.
    """
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        size = os.fstat(file).st_size
        try:
            left = memoryview(line + b"\n")
            while left:
                left = left[os.write(file, left) :]
            os.fsync(file)
        except BaseException:
            os.ftruncate(file, size)
            raise
        return size
    finally:
        os.close(file)
