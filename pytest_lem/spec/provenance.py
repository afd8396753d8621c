"""Who said what: layers of settings merged, with the origin of every value kept."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Values from one place; `origin` is default, ini, marker, parametrize or cli."""

    origin: str
    values: Mapping[str, Any]


def merge(layers: Iterable[Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """The values that win (later layers over earlier) and the origin of each.

    Sections (values that are mappings) are merged key by key, one level deep; their
    origins are kept under `section.key`.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        for key, value in layer.values.items():
            if isinstance(value, Mapping):
                known = values.get(key)
                before = known if isinstance(known, Mapping) else {}
                values[key] = {**before, **value}
                origins |= {f"{key}.{name}": layer.origin for name in value}
            else:
                values[key] = value
                origins[key] = layer.origin
    return values, origins
