"""Where the user's cache is: models made on the spot, locks, and the like."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """LEM_CACHE_DIR, else `pytest-lem` in XDG_CACHE_HOME, else in ~/.cache."""
    if own := os.environ.get("LEM_CACHE_DIR"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "pytest-lem"
