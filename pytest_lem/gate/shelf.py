"""Where the noise of this machine is kept: a file in the user's cache."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pytest_lem.errors import ConfigError
from pytest_lem.gate.lending import Stored, replaced
from pytest_lem.machine.cache import user_cache
from pytest_lem.records.files import write_atomic

_VERSION = 1


def shelf() -> Path:
    """The file."""
    return user_cache() / "noise.json"


def read_noise() -> list[Stored]:
    """All that was ever stored; raises ConfigError where the file is no such thing."""
    path = shelf()
    try:
        told = json.loads(path.read_bytes())
        if told["version"] != _VERSION:
            raise ValueError(f"version {told['version']}")
        return [Stored(**one) for one in told["noise"]]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is no noise stored by `lem aa`, which would write it anew once it "
            f"is away: {error}"
        ) from error


def store_noise(found: Sequence[Stored]) -> Path:
    """Add to it; raises ConfigError where it cannot be read or written."""
    path = shelf()
    told = [asdict(one) for one in replaced(read_noise(), found)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps({"version": _VERSION, "noise": told}) + "\n")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    return path
