"""The files that an experiment names beside its own, such as prompts."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_FILES = (("prompts",), ("prompt_options", "chat_template"), ("arrivals", "file"))
_LENGTHS = ("input_lengths", "output_lengths")


def files(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each key that names a file, and the path that it has."""
    for *groups, name in _FILES:
        place = values.get(groups[0]) if groups else values
        text = place.get(name) if isinstance(place, Mapping) else None
        if isinstance(text, str) and not text.startswith("hf:"):
            yield ".".join((*groups, name)), text
    for name in _LENGTHS:
        kind, colon, text = str(values.get(name, "")).partition(":")
        if colon and kind in ("file", "trace"):
            yield name, text


def moved(values: Mapping[str, Any], *, beside: Path, to: Path) -> dict[str, Any]:
    """The values for a file in folder `to`, where they stood in one in `beside`.

    The files that they name stay where they are.
    """
    found = dict(values)
    for key, text in files(values) if beside != to else ():
        if Path(text).is_absolute():
            continue
        there = os.path.relpath(beside / text, to)
        group, dot, name = key.rpartition(".")
        if dot:
            found[group] = {**found[group], name: there}
        elif name in _LENGTHS:
            found[name] = f"{found[name].partition(':')[0]}:{there}"
        else:
            found[name] = there
    return found
