"""Idle readings of earlier sessions, kept in the user's cache for a while."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pytest_lem.errors import ConfigError
from pytest_lem.records.files import write_atomic
from pytest_lem.records.record import IdlePower

FORMAT_VERSION = 1


class _Entry(BaseModel):
    """A file of the cache; `saved_at_s` is of the wall clock, which outlives a boot."""

    format: int
    key: dict[str, Any]
    saved_at_s: float
    reading: IdlePower


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleCache:
    """Readings by what they depend on: the machine's state, and what is added to it.

    A file that is older than `ttl_s`, of another version, damaged, or from the future
    is no reading.
    """

    directory: Path
    ttl_s: float
    machine: Mapping[str, Any]
    clock_s: Callable[[], float] = time.time

    def load(self, key: Mapping[str, Any]) -> tuple[IdlePower, float] | None:
        """The reading of that key, and its age in seconds."""
        whole = self._whole(key)
        try:
            entry = _Entry.model_validate_json(self._path(whole).read_bytes())
        except (OSError, ValidationError):
            return None
        age_s = self.clock_s() - entry.saved_at_s
        if entry.format != FORMAT_VERSION or entry.key != whole:
            return None
        return (entry.reading, age_s) if 0 <= age_s <= self.ttl_s else None

    def save(self, key: Mapping[str, Any], reading: IdlePower) -> None:
        """Keep a reading made now; ConfigError where that cannot be."""
        whole = self._whole(key)
        path = self._path(whole)
        entry = _Entry(
            format=FORMAT_VERSION,
            key=whole,
            saved_at_s=self.clock_s(),
            reading=reading,
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, entry.model_dump_json(indent=2) + "\n")
        except OSError as error:
            raise ConfigError(
                f"idle power cannot be kept in {path}: {error.strerror or error}; set "
                "LEM_CACHE_DIR to a writable directory, or lem_idle_strategy = fresh"
            ) from error

    def _whole(self, key: Mapping[str, Any]) -> dict[str, Any]:
        """The key with the machine's part, as JSON would give it back."""
        whole: dict[str, Any] = json.loads(json.dumps({**self.machine, **key}))
        return whole

    def _path(self, whole: Mapping[str, Any]) -> Path:
        text = json.dumps(whole, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return self.directory / f"idle-{digest[:16]}.json"
