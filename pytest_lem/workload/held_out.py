"""The text that a model is judged by: one of ours, or a file."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pytest_lem.errors import ConfigError
from pytest_lem.workload.prompts import read_text

OURS = "lem-mill"
"""The name of the text that ships here: written for it, and in the public domain."""

WINDOW_TOKENS = 512
STRIDE_TOKENS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """A text by its name, and the windows in which a model reads it, in tokens."""

    name: str
    text: str
    window_tokens: int = WINDOW_TOKENS
    stride_tokens: int = STRIDE_TOKENS

    @property
    def sha256(self) -> str:
        """That of the text's UTF-8 bytes."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def held_out(
    path: Path | None,
    *,
    window_tokens: int = WINDOW_TOKENS,
    stride_tokens: int = STRIDE_TOKENS,
) -> HeldOut:
    """The text of a file, ours without one; raises ConfigError where it says nothing.

    A stride above the window would leave tokens out, and is a ConfigError too.
    """
    if stride_tokens > window_tokens:
        msg = f"a stride of {stride_tokens} tokens leaves a window of {window_tokens}"
        raise ConfigError(f"{msg} before all of the text is read")
    if path is None:
        name, text = OURS, (files(__package__) / "held_out.txt").read_text("utf-8")
    else:
        name, text = path.name, read_text(path)
        if len(text.split()) < 2:
            raise ConfigError(f"file {path} has no two words to judge a model by")
    return HeldOut(
        name=name,
        text=text,
        window_tokens=window_tokens,
        stride_tokens=stride_tokens,
    )
