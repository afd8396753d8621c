"""What a container is given of this machine: files, variables, GPUs, and no more."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.machine.cache import user_cache
from pytest_lem.machine.environment import VARIABLES, is_secret
from pytest_lem.worker.devices import granted, inherited
from pytest_lem.worker.launch.image import Image
from pytest_lem.worker.launch.secret import INSIDE, Secret

# A limit and no reservation; ranks and cores exchange tensors through it.
_SHARED_MEMORY = "8g"
# What says where things are on this machine, or what its own container is.
_OF_THIS_MACHINE = re.compile(r"NVIDIA_\w+|CUDA_(HOME|PATH|VERSION)|LD_PRELOAD")
_NAMED = "HF_ENDPOINT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Housing:
    """How the containers of a session are run, whatever is in them.

    With `keep` there is one for each backend, in which one worker follows another.
    `readable` and `writable` are paths of this machine, which they have by the same
    names. `arguments` are the user's own for the command `run`. `owner` tells whose
    they are; only `privileged` takes the wall away.
    """

    owner: str
    gpus: Sequence[str] = ()
    keep: bool = False
    readable: Sequence[Path] = ()
    writable: Sequence[Path] = ()
    arguments: Sequence[str] = ()
    privileged: bool = False

    def arguments_for(
        self, name: str, image: Image, *, home: Path, secret: Secret | None
    ) -> list[str]:
        """The arguments of `run`, the image and what it is to do left out."""
        hub = hub_cache(os.environ)
        writable = {home, hub, *self.writable}
        for folder in writable:
            folder.mkdir(parents=True, exist_ok=True)
        wall = "privileged" if self.privileged else "security-opt=no-new-privileges"
        roomy = any(one.startswith("--ipc") for one in self.arguments)
        told = {"HOME": home, "USER": "lem", "HF_HUB_CACHE": hub}
        told |= {"TORCHINDUCTOR_CACHE_DIR": home / ".cache" / "torchinductor"}
        told |= granted(self.gpus) | ({"HF_TOKEN_PATH": INSIDE} if secret else {})
        return [
            *("--interactive", "--rm", "--init", "--pull=never", "--log-driver=none"),
            *("--no-healthcheck", f"--name={name}", f"--label=pytest-lem={self.owner}"),
            f"--{wall}",
            *([] if roomy else [f"--shm-size={_SHARED_MEMORY}"]),
            *image.runtime.user(),
            *image.runtime.gpus(self.gpus),
            *self._mounts(writable, secret),
            *(f"--env={one}={value}" for one, value in told.items()),
            *(f"--env={one}" for one in passed_on(inherited(os.environ))),
            f"--workdir={Path.cwd()}",
            *self.arguments,
        ]

    def _mounts(self, writable: set[Path], secret: Secret | None) -> Iterator[str]:
        """The inner of two nested paths after the outer, which would hide it."""
        readable = {user_cache(), Path.cwd(), *self.readable} - {Path("/")}
        for path in sorted(writable | readable):
            yield _mount(path, path, writable=path in writable)
        if secret is not None:
            yield _mount(secret.path, Path(INSIDE), writable=False)


def home_of(backend: str) -> Path:
    """The home directory of a backend's workers in containers, where caches grow."""
    return user_cache() / "homes" / backend


def hub_cache(environ: Mapping[str, str]) -> Path:
    """Where Hugging Face's models are kept."""
    if own := environ.get("HF_HUB_CACHE"):
        return Path(own).expanduser().absolute()
    cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = environ.get("HF_HOME") or f"{cache}/huggingface"
    return Path(home).expanduser().absolute() / "hub"


def passed_on(environ: Mapping[str, str]) -> list[str]:
    """The variables that engines obey and that mean the same in a container."""
    return [
        name
        for name, value in environ.items()
        if (VARIABLES.fullmatch(name) or name == _NAMED)
        and not _OF_THIS_MACHINE.fullmatch(name)
        and not value.startswith("/")
        and not is_secret(name)
    ]


def paths_in(told: Any) -> set[Path]:
    """The paths of this machine among the values of a spec.

    ConfigError for one in the home directory, which is another in a container.
    """
    found: set[Path] = set()
    for text in _texts(told):
        if text.startswith("~"):
            msg = f"{text!r} is another path in a container: write it from / on"
            raise ConfigError(msg)
        if text.startswith(("/", ".")) and (path := Path(text)).exists():
            found |= {path.absolute(), path.resolve()}
    return found


def _texts(told: Any) -> Iterator[str]:
    if isinstance(told, str):
        yield told
    elif isinstance(told, Mapping):
        yield from _all_texts(told.values())
    elif isinstance(told, Iterable):
        yield from _all_texts(told)


def _all_texts(told: Iterable[Any]) -> Iterator[str]:
    for one in told:
        yield from _texts(one)


def _mount(source: Path, target: Path, *, writable: bool) -> str:
    if "," in f"{source}{target}":
        raise ConfigError(f"{source} cannot go into a container: its name has a comma")
    end = "" if writable else ",readonly"
    return f"--mount=type=bind,source={source},target={target}{end}"
