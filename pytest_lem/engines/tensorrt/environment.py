"""Environment variables that TensorRT-LLM is given, before it is imported."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_SILENT = {"TRTLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
_NAMES = re.compile(r"(TLLM|TRTLLM|FORCE_DETERMINISTIC|OMPI|UCX)(_\w+)?")
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD")


def set_up() -> None:
    """Nothing is sent anywhere, least of all inside a window; the user's own stay."""
    for name, value in _SILENT.items():
        os.environ.setdefault(name, value)


def in_force(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that TensorRT-LLM reads and that are set; no secrets."""
    return {
        name: value
        for name, value in sorted(environ.items())
        if (name in _SILENT or _NAMES.fullmatch(name)) and not _SECRET.search(name)
    }
