"""The models that draft for another: by what they are, whatever place they lie in."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_lem.workload.models import check, directory_sha256, is_local

_MODELS = (
    ("assistant_model",),
    ("speculative_config", "model"),
    ("speculative_config", "speculative_model"),
)


def by_content(section: Mapping[str, Any]) -> dict[str, Any]:
    """An engine's section with hashes in place of the local paths of draft models.

    Raises ConfigError for a path that holds no model.
    """
    found = copy.deepcopy(dict(section))
    for *parents, name in _MODELS:
        place: Any = found
        for parent in parents:
            place = place.get(parent)
        value = place.get(name) if isinstance(place, dict) else None
        if isinstance(value, str) and is_local(value):
            check(value)
            place[name] = directory_sha256(Path(value).expanduser())
    return found
