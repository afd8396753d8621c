"""What a reference is by its name: a report, a label of the store, or its latest."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pytest_lem.errors import ConfigError, LemError
from pytest_lem.records.export import read_json
from pytest_lem.records.record import Record
from pytest_lem.spec.nearest import unknown
from pytest_lem.store.opening import open_store
from pytest_lem.store.place import Place

if TYPE_CHECKING:
    from pytest_lem.store.store import Store

LAST = "last"
LATEST_SESSIONS = 10
_AT_ONCE = 200
# Some may be another test's, or no reference.
_LOOKED_AT = 10 * LATEST_SESSIONS
_WORSE = ("regression", "exceeded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A name and what it stands for; sessions in the order in which they began."""

    name: str
    kind: Literal["file", "label", "latest"]
    records: Sequence[Record]

    def __str__(self) -> str:
        if self.kind == "file":
            return f"{self.name} (file)"
        count = len({one.session.id for one in self.records})
        sessions = f"{count} session{'s' * (count != 1)} of the store"
        return f"{self.name} ({self.kind}, {sessions})"


def read_reference(
    name: str,
    *,
    root: Path,
    place: Place,
    run: Iterable[tuple[str, str]],
    without: Collection[str] = (),
) -> Reference:
    """The reference of that name; a file that exists wins over a label.

    Paths begin at `root`. `run` has the id and identity of each experiment that is to
    be judged, of which `last` finds the store's latest sessions, `without` those of
    the run itself. Raises ConfigError.
    """
    if (root / name).is_file():
        return Reference(name=name, kind="file", records=[_report(root / name)])
    try:
        store = open_store(place)
    except LemError as error:
        raise ConfigError(f"is no file, and {error.message}") from error
    try:
        if name == LAST:
            return Reference(
                name=name, kind="latest", records=_latest(store, run, without)
            )
        return Reference(name=name, kind="label", records=_labelled(store, name))
    except LemError as error:
        raise ConfigError(error.message) from error
    finally:
        store.close()


def _report(path: Path) -> Record:
    try:
        return read_json(path)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        first, *more = str(error).splitlines()
        reason = (more[0] if more else first).strip()
        raise ConfigError(f"is no report of pytest-lem: {reason}") from error


def _labelled(store: "Store", label: str) -> list[Record]:
    from pytest_lem.store.wanted import Wanted

    found = list(store.reports(Wanted(label=label)))
    if not found:
        names = [one.label for one in store.labels()]
        known = unknown("label", label, [*names, LAST])
        raise ConfigError(f"is no file, and in {store.place} the {known}")
    return _in_order(found)


def _latest(
    store: "Store", run: Iterable[tuple[str, str]], without: Collection[str]
) -> list[Record]:
    """Of each experiment the latest sessions that ended and were no regression.

    A regression that counted would be what is usual after a few nights.
    """
    from pytest_lem.store.wanted import Found, Wanted

    def found(wanted: Wanted) -> list[Found]:
        return [
            one
            for one in store.find(wanted)
            if one.status == "complete"
            and one.verdict not in _WORSE
            and one.session not in without
        ]

    keys: dict[str, None] = {}
    for name, identity in run:
        same = found(Wanted(identity=identity, limit=_LOOKED_AT))
        mine = [one for one in same if one.experiment_id == name]
        mine = mine or same or found(Wanted(experiment=name, limit=_LOOKED_AT))
        sessions = dict.fromkeys(one.session for one in mine)
        latest = [*sessions][:LATEST_SESSIONS]
        keys |= dict.fromkeys(one.key for one in mine if one.session in latest)
    reports = (store.reports(Wanted(keys=some)) for some in _parts([*keys]))
    return _in_order(chain.from_iterable(reports))


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many at once as a condition may have."""
    for k in range(0, len(keys), _AT_ONCE):
        yield keys[k : k + _AT_ONCE]


def _in_order(records: Iterable[Record]) -> list[Record]:
    begun = datetime.fromisoformat
    return sorted(records, key=lambda one: begun(one.session.started_at))
