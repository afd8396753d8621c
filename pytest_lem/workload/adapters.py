"""A LoRA adapter by its content: it is small enough to be read whole.

One of the hub is `owner/name`, or `owner/name@revision`: a branch, tag or commit.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from pytest_lem.errors import ConfigError, EngineLoadError
from pytest_lem.workload.models import HUB_ID, is_local, json_object

_CONFIG = "adapter_config.json"
_FILES = ("adapter_*",)
_OF_ANOTHER_MACHINE = "base_model_name_or_path"


def fingerprint(adapter: str) -> dict[str, str]:
    """What an adapter is: hashes of a directory's files, or its name on the hub.

    There a revision is part of it. The hash of its configuration leaves out where its
    model lay when it was trained. Raises ConfigError for what is no adapter's.
    """
    if not is_local(adapter):
        name, revision = _on_hub(adapter)
        return {"name": name, **({"revision": revision} if revision else {})}
    folder = Path(adapter).expanduser()
    config = json.dumps(_config(adapter, folder), sort_keys=True)
    return {
        "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
        "weights_sha256": _weights(adapter, folder),
    }


class Located(NamedTuple):
    """Where an adapter lies on this machine; the commit of one that is of the hub."""

    folder: Path
    revision: str | None

    def facts(self) -> dict[str, str | None]:
        """Commit, and the hashes that enter an identity where it is known by them."""
        return {"revision": self.revision, **fingerprint(str(self.folder))}


@functools.cache
def located(adapter: str) -> Located:
    """The adapter as a directory: one of the hub is fetched, unless it is there.

    For a worker, which may use the network. Raises EngineLoadError in one line.
    """
    if is_local(adapter):
        return Located(Path(adapter).expanduser().resolve(), None)
    from huggingface_hub import snapshot_download

    name, revision = _on_hub(adapter)
    try:
        found = snapshot_download(name, revision=revision, allow_patterns=list(_FILES))
    except Exception as error:
        why = " ".join(str(error).split("\n")[:2])
        msg = f"adapter {adapter!r} cannot be fetched: {why}"
        raise EngineLoadError(msg) from error
    return Located(Path(found), Path(found).name)


def _on_hub(adapter: str) -> tuple[str, str | None]:
    name, at, revision = adapter.partition("@")
    if not HUB_ID.fullmatch(name) or (at and not revision):
        msg = (
            f"adapter {adapter!r} is neither a directory nor a hub id (owner/name, or "
            "owner/name@revision)"
        )
        raise ConfigError(msg)
    return name, revision or None


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
