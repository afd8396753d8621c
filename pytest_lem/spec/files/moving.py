"""The files that an experiment names beside its own, such as prompts."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_FILES = (("prompts",), ("prompt_options", "chat_template"), ("arrivals", "file"))
_LENGTHS = ("input_lengths", "output_lengths")


def moved(values: Mapping[str, Any], *, beside: Path, to: Path) -> dict[str, Any]:
    """The values for a file in folder `to`, where they stood in one in `beside`.

    The files that they name stay where they are.
    """
    if beside == to:
        return dict(values)
    return _each(values, lambda text: os.path.relpath(beside / text, to))


def _each(values: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """The values with each relative path of a file changed."""
    found = dict(values)
    for name, *inner in _FILES:
        if inner and isinstance(found.get(name), Mapping):
            found[name] = dict(found[name])
        place = found[name] if inner and name in found else found
        key = inner[0] if inner else name
        text = place.get(key) if isinstance(place, dict) else None
        if isinstance(text, str) and not (text.startswith("hf:") or _absolute(text)):
            place[key] = change(text)
    for name in _LENGTHS:
        kind, colon, text = str(found.get(name, "")).partition(":")
        if colon and kind in ("file", "trace") and not _absolute(text):
            found[name] = f"{kind}:{change(text)}"
    return found


def _absolute(text: str) -> bool:
    return Path(text).is_absolute()
