"""A LoRA adapter by its content: it is small enough to be read whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pytest_lem.errors import ConfigError
from pytest_lem.workload.models import is_local, json_object

_CONFIG = "adapter_config.json"
_OF_ANOTHER_MACHINE = "base_model_name_or_path"


def fingerprint(adapter: str) -> dict[str, str]:
    """What an adapter is: hashes of a directory's files, or the name of a hub id.

    The hash of its configuration leaves out where its model lay when it was trained.
    Raises ConfigError for a path that is no adapter's.
    """
    if not is_local(adapter):
        return {"name": adapter}
    folder = Path(adapter).expanduser()
    config = json.dumps(_config(adapter, folder), sort_keys=True)
    return {
        "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
        "weights_sha256": _weights(adapter, folder),
    }


def _config(adapter: str, folder: Path) -> dict[str, object]:
    path = folder / _CONFIG
    absent = f"is not an adapter's directory: {path} is missing"
    found = json_object(path, of=f"adapter {adapter!r}", absent=absent)
    return {key: value for key, value in found.items() if key != _OF_ANOTHER_MACHINE}


def _weights(adapter: str, folder: Path) -> str:
    """Hash of all weights: two adapters of one shape differ in nothing else."""
    files = sorted(folder.glob("adapter_model.*"))
    if not files:
        msg = f"adapter {adapter!r} has no weights: {folder}/adapter_model.* is missing"
        raise ConfigError(msg)
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            own = hashlib.file_digest(content, "sha256").hexdigest()
        digest.update(f"{file.name}:{own}:".encode())
    return digest.hexdigest()
