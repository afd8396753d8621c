"""The token of Hugging Face on its way into a container: a file, and never a variable.

What a container is started with can be read by whoever may ask about it, and command
lines by every user of the machine.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
INSIDE = "/run/secrets/hf_token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A file with the token; `directory` is to be discarded with it, if it was made."""

    path: Path
    directory: Path | None = None


def token_file(environ: Mapping[str, str]) -> Secret | None:
    """A file with the token that these variables give or lead to; None without one.

    A token that is a variable is written to a file that its owner alone can read.
    """
    token = next((environ[name] for name in VARIABLES if environ.get(name)), None)
    if token is not None:
        directory = Path(tempfile.mkdtemp(prefix="lem-secret-"))  # mode 0700
        path = directory / "hf_token"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
            f.write(token)
        return Secret(path=path, directory=directory)
    home = Path(environ.get("HF_HOME") or "~/.cache/huggingface")
    path = Path(environ.get("HF_TOKEN_PATH") or home / "token").expanduser()
    return Secret(path=path.absolute()) if path.is_file() else None


def without_token(environ: Mapping[str, str]) -> dict[str, str]:
    """These variables, those aside that are the token."""
    return {k: value for k, value in environ.items() if k not in VARIABLES}
