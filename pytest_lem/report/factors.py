"""In what experiments differ, by the keys that users write."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.gate.side import Side, asked, sides
from pytest_lem.records.record import Record
from pytest_lem.report.services.figures import guess
from pytest_lem.spec.nearest import unknown


def all_sides(records: Iterable[Record]) -> list[Side]:
    """Each experiment of all reports that has a complete cycle."""
    return [one for record in records for one in sides(record) if one.cycles]


def factors(side: Side) -> dict[str, Any]:
    """What was asked for, one plain value a key: `decoder.top_p`, not `decoder`.

    And on which GPUs, or which CPU, it was asked.
    """
    gpus = [one.get("name") for one in side.environment.get("gpu") or ()]
    where = {
        "gpu": ", ".join(map(str, gpus)) or None,
        "cpu": (side.environment.get("cpu") or {}).get("model"),
    }
    return {**dict(_leaves(asked(side))), **where}


def columns(there: Sequence[Side]) -> dict[str, list[str]]:
    """The level of each experiment, by key."""
    told = [factors(side) for side in there]
    names = dict.fromkeys(key for one in told for key in one)
    return {name: [level(one.get(name)) for one in told] for name in names}


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


def guesses(told: Iterable[tuple[Side, str]]) -> list[str]:
    """A line where values are of what nothing measured."""
    words = {guess(side.experiment.flags, metric) for side, metric in told}
    return unmeasured(sorted(one for one in words if one))


def unmeasured(words: Sequence[str]) -> list[str]:
    """What `~` means in a table of values that are estimated, replayed or synthetic."""
    return [f"~ {', '.join(words)}: nothing measured these values"] if words else []


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
