"""Who said what: layers of settings merged, with the origin of every value kept."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Values from one place.

    `origin` is default, profile, preset, ini, `file NAME`, marker, parametrize or cli.
    `older` has the older names that were given, with today's, where `values` are under
    today's already; it is None where nobody has looked yet.
    """

    origin: str
    values: Mapping[str, Any]
    older: Mapping[str, str] | None = None


def merge(layers: Iterable[Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """The values that win (later layers over earlier) and the origin of each.

    Values that are mappings are merged key by key, at any depth; their origins are
    kept under `section.key`. A list replaces the one before.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        _lay(layer.values, layer.origin, values, origins, "")
    return values, origins


def _lay(
    given: Mapping[str, Any],
    origin: str,
    values: dict[str, Any],
    origins: dict[str, str],
    prefix: str,
) -> None:
    for key, value in given.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            known = values.get(key)
            inner = values[key] = dict(known) if isinstance(known, Mapping) else {}
            origins.pop(path, None)
            _lay(value, origin, inner, origins, f"{path}.")
        else:
            if isinstance(values.get(key), Mapping):
                for below in [one for one in origins if one.startswith(f"{path}.")]:
                    del origins[below]
            values[key] = value
            origins[path] = origin
