"""Writing files so that a reader sees the old content or the new, never a part."""

import os
from pathlib import Path


def write_atomic(path: Path, text: str) -> None:
    """Write UTF-8 text beside `path`, flush it to the disk, and move it in place."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
