"""In what experiments differ, by the keys that users write."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.gate.side import Side, asked, sides
from pytest_lem.records.record import Record
from pytest_lem.spec.nearest import unknown


def all_sides(records: Iterable[Record]) -> list[Side]:
    """Each experiment of all reports that has a complete cycle."""
    return [one for record in records for one in sides(record) if one.cycles]


def factors(side: Side) -> dict[str, Any]:
    """What was asked for, one plain value a key: `decoder.top_p`, not `decoder`."""
    return dict(_leaves(asked(side)))


def grouped(there: Iterable[Side], by: str | None) -> dict[str | None, list[Side]]:
    """The experiments by a key's value, as text, in the order in which they came.

    All in one group without a key. Raises ConfigError for a key that none has.
    """
    found: dict[str | None, list[Side]] = {}
    known: set[str] = set()
    for side in there:
        told = factors(side)
        known.update(told)
        group = None if by is None else level(told.get(by))
        found.setdefault(group, []).append(side)
    if by is not None and by not in known and known:
        raise ConfigError(unknown("key", by, known))
    return found


def level(value: Any) -> str:
    """A setting's value as text; what was not set is the engine's own default."""
    if value is None:
        return "default"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _leaves(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, one in value.items():
        if isinstance(one, Mapping) and one:
            yield from _leaves(one, f"{path}{key}.")
        else:
            yield f"{path}{key}", one
