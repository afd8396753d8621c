"""Records that were picked: each by itself, and against the first of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import HTTPException

from pytest_lem.analysis.compare import Ratio
from pytest_lem.errors import ConfigError
from pytest_lem.gate.apart import Apart
from pytest_lem.gate.side import Side, differences, sides
from pytest_lem.records.record import Record
from pytest_lem.report.diff import between
from pytest_lem.store.store import Store
from pytest_lem.store.wanted import Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One record over the first: ratios of metrics, and all that differs.

    `unequal` has, of metrics by which a gate would not compare the two, what keeps them
    apart; the ratio is then of two different things.
    """

    key: str
    against: str
    ratios: dict[str, Ratio]
    unequal: dict[str, list[str]]
    apart: Sequence[Apart]


def read_one(store: Store, key: str) -> Record:
    """The record of a key, as a report of its session; 404 where there is none."""
    found = store.find(Wanted(keys=[key], limit=2))
    if len(found) != 1:
        told = f"{len(found)} records begin" if found else "no record begins"
        raise HTTPException(404, f"{told} with {key!r}")
    (report,) = store.reports(Wanted(keys=[found[0].key]))
    return report


def picked(store: Store, keys: Sequence[str]) -> dict[str, Side]:
    """The experiments of these keys, in their order; 404 where one is not there.

    Raises ConfigError where they are all one.
    """
    found = {}
    for key in keys:
        (found[key],) = sides(read_one(store, key))
    if len(found) < 2:
        raise ConfigError("a comparison is of two records or more")
    return found


def against(
    first: tuple[str, Side], second: tuple[str, Side], metrics: Sequence[str]
) -> Compared:
    """The second over the first."""
    found = between(first[1], second[1], metrics)
    unequal = {name: differences(first[1], second[1], name) for name in metrics}
    return Compared(
        key=second[0],
        against=first[0],
        ratios=found.ratios,
        unequal={name: told for name, told in unequal.items() if told},
        apart=found.apart,
    )
