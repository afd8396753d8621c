"""Which model is asked: a hub id, a local directory, or one made on the spot."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pytest_lem.errors import ConfigError
from pytest_lem.machine.cache import user_cache
from pytest_lem.spec.nearest import unknown
from pytest_lem.workload import checkpoint

Weights = Literal["checkpoint", "random"]

_PREFIX = "synthetic:"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_CONFIG_FILES = ("config.json", "generation_config.json")
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as an engine gets it.

    `name` is what was asked for, `path` the local directory or hub id for the engine.
    With `weights="random"` the directory holds configuration and tokenizer only, and
    the engine makes weights of that shape from `seed`. `fingerprint` is what enters
    an experiment's identity, `config` the parsed config.json, `None` for a hub id.
    """

    name: str
    path: str
    synthetic: bool
    weights: Weights
    seed: int
    fingerprint: dict[str, Any]
    config: dict[str, Any] | None


def check(model: str) -> None:
    """Refuse what cannot be a model; reads at most a directory, writes nothing."""
    if model.startswith(_PREFIX):
        _synthetic_parts(model)
    elif is_local(model):
        _local_config(model)
    elif not HUB_ID.fullmatch(model):
        msg = (
            f"model {model!r} is neither a directory, nor a hub id (owner/name), nor "
            f"{_PREFIX}NAME"
        )
        raise ConfigError(msg)


def resolve(model: str, *, backend: str, cache_dir: Path | None = None) -> Model:
    """The model asked for; a synthetic one is written to the user's cache if needed.

    The backend `fake` reads no files, so for it nothing is written. The network is
    never used: a hub id is left to the engine.
    """
    check(model)
    if model.startswith(_PREFIX):
        return _synthetic(model, cache_dir=cache_dir, write=backend != "fake")
    if is_local(model):
        path = Path(model).expanduser().resolve()
        return Model(
            name=model,
            path=str(path),
            synthetic=False,
            weights="checkpoint",
            seed=0,
            fingerprint=directory_sha256(path),
            config=_local_config(model),
        )
    return Model(
        name=model,
        path=model,
        synthetic=False,
        weights="checkpoint",
        seed=0,
        fingerprint={"name": model},
        config=None,
    )


def synthetic_names() -> list[str]:
    """The names that `synthetic:NAME` knows."""
    return sorted(_shapes())


def is_local(model: str) -> bool:
    """Whether the name means a path on this machine."""
    return model.startswith(("/", ".", "~")) or (bool(model) and Path(model).exists())


def is_on_hub(model: str) -> bool:
    """Whether the name means a model that the engine is to fetch."""
    return not (model.startswith(_PREFIX) or is_local(model))


def directory_sha256(path: Path) -> dict[str, str | None]:
    """Hashes of a model directory: of its config, its tokenizer and its weights.

    Weights enter by their index, or where there is none by the header and size of
    each safetensors file (name and size of any other), since hashing gigabytes takes
    minutes. A part without files is `None`.
    """
    return {
        "config_sha256": _sha256(_contents(path, _CONFIG_FILES)),
        "tokenizer_sha256": _sha256(_contents(path, _TOKENIZER_FILES)),
        "weights_sha256": _sha256(_weight_facts(path)),
    }


def _synthetic(model: str, *, cache_dir: Path | None, write: bool) -> Model:
    """The model of a known shape, in the cache if it is to be written."""
    name, seed = _synthetic_parts(model)
    shape = _shapes()[name]
    config = checkpoint.config(shape["config"])
    path = model
    if write:
        folder = checkpoint.write(
            (cache_dir or user_cache()) / "models",
            name=name,
            config=config,
            seed=seed,
            weights=shape["weights"] == "checkpoint",
        )
        path = str(folder)
    return Model(
        name=model,
        path=path,
        synthetic=True,
        weights=shape["weights"],
        seed=seed,
        fingerprint={"synthetic": name, "seed": seed},
        config=config,
    )


def _synthetic_parts(model: str) -> tuple[str, int]:
    """Name and seed of `synthetic:NAME` or `synthetic:NAME@SEED`."""
    name, at, seed = model.removeprefix(_PREFIX).partition("@")
    if name not in _shapes():
        raise ConfigError(unknown("model", name, synthetic_names(), within=_PREFIX))
    if at and not re.fullmatch(r"[0-9]{1,9}", seed):
        msg = f"model {model!r}: the seed after @ must be a whole number below 10**9"
        raise ConfigError(msg)
    return name, int(seed or 0)


@functools.cache
def _shapes() -> dict[str, Any]:
    """The known shapes, by name."""
    table = resources.files("pytest_lem.workload").joinpath("shapes.json")
    shapes: dict[str, Any] = json.loads(table.read_text(encoding="utf-8"))
    return shapes


def _local_config(model: str) -> dict[str, Any]:
    """The parsed config.json of a local model."""
    path = Path(model).expanduser() / "config.json"
    absent = f"is not a model directory: {path} does not exist"
    return json_object(path, of=f"model {model!r}", absent=absent)


def json_object(path: Path, *, of: str, absent: str) -> dict[str, Any]:
    """The object in a JSON file; ConfigError names its owner, `absent` if missing."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"{of} {absent}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{of}: {path} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{of}: {path} holds no JSON object")
    return found


def _contents(path: Path, names: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of those of the files that exist."""
    for name in names:
        if (path / name).is_file():
            yield name, (path / name).read_bytes()


def _weight_facts(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and telling bytes of each weight file, or of the indexes where there are."""
    indexes = sorted(path.glob("*.index.json"))
    if indexes:
        yield from _contents(path, tuple(index.name for index in indexes))
        return
    for file in sorted((*path.glob("*.safetensors"), *path.glob("*.bin"))):
        size = file.stat().st_size
        header = checkpoint.header(file) if file.suffix == ".safetensors" else b""
        yield file.name, header + size.to_bytes(8, "little")


def _sha256(parts: Iterator[tuple[str, bytes]]) -> str | None:
    """Hash of named parts, `None` if there are none."""
    digest, empty = hashlib.sha256(), True
    for name, data in parts:
        empty = False
        digest.update(f"{name}:{len(data)}:".encode())
        digest.update(data)
    return None if empty else digest.hexdigest()
