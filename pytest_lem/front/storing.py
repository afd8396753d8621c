"""`--lem-store` and `--lem-save`: records go to the store as they are finished."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_lem.errors import ConfigError, StoreError
from pytest_lem.front.settings import Settings
from pytest_lem.store.opening import open_store
from pytest_lem.store.place import DEFAULT, Place, parse_place

if TYPE_CHECKING:
    from pytest_lem.records.record import ExperimentRecord, Record, Session
    from pytest_lem.store.store import Coming, Store


def place_of(settings: Settings, root: Path) -> Place | None:
    """The store that is asked for, if any; raises ConfigError where it cannot be.

    A path on the command line begins where pytest was started, any other at `root`.
    """
    if settings["store"] is None:
        labels = settings["save"] or settings["update-ref"]
        return parse_place(DEFAULT, root) if labels else None
    typed = settings.origins["store"] == "cli"
    try:
        return parse_place(settings["store"], Path.cwd() if typed else root)
    except ConfigError as error:
        raise ConfigError(f"{settings.says('store')}: {error}") from error


_SAID = {
    "regression": "is a regression",
    "exceeded": "is over its budget",
    "incomparable": "is incomparable",
}
_WORSE = ("regression", "exceeded")
_APART = (*_WORSE, "incomparable")


class Storing:
    """The store of a session, if one is asked for.

    `problems` has a line for each thing that could not be written, `told` one for each
    label.
    """

    def __init__(self, settings: Settings, root: Path) -> None:
        self.place = place_of(settings, root)
        self.problems: list[str] = []
        self.told: list[str] = []
        self._label: str | None = settings["save"]
        self._anyway: bool = settings["save-anyway"]
        self._store: Store | None = None
        self._coming: Coming | None = None
        self._session: Session | None = None
        self._names: list[str] = []
        self._unfit: dict[tuple[str, ...], str | None] = {}

    def open(self) -> None:
        """Make the store ready; raises ConfigError, StoreError where it cannot be."""
        if self.place is not None and self._store is None:
            self._store = open_store(self.place, create=True)

    def put(self, record: "Callable[[], Record]") -> None:
        """Write records; where that fails, `finish` writes them again."""
        if self._store is not None:
            self._try(lambda store: store.put(record()))

    def begin(self, head: "Record") -> None:
        """Await all records of a session as they are now; `head` is all the rest."""
        if self._store is None:
            return
        whole = head.session.status == "complete"
        reason = None if whole else "the session was interrupted"
        self._unfit = dict.fromkeys((_WORSE, _APART), reason)
        self._session = head.session
        self._coming = self._store.begin(head)

    def take(self, experiment: "ExperimentRecord") -> None:
        """Write the next record; nothing after one that could not be written."""
        if (coming := self._coming) is None:
            return
        self._names.append(experiment.id)
        for verdicts, reason in self._unfit.items():
            found = reason or next(_faults(experiment, verdicts), None)
            self._unfit[verdicts] = found
        if not self._try(lambda store: store.add(coming, experiment)):
            self._coming = None

    def finish(self, renewed: str | None = None) -> None:
        """Write the session, and label it if it is whole, valid and not worse.

        `renewed` is the label of a reference, which the incomparable do not join.
        """
        if self._store is None:
            return
        coming = self._coming
        if coming is not None and self._try(lambda store: store.end(coming)):
            if self._label is not None:
                self._save(self._label)
            if renewed not in (None, self._label):
                self._renew(renewed)
        self._store.close()

    def close(self) -> None:
        """Leave the rest to another process that writes to the same store."""
        if self._store is not None:
            self._store.close()

    def _save(self, label: str) -> None:
        """Label it if no experiment is worse; else say why not, and how to."""
        reason = None if self._anyway else self._unfit[_WORSE]
        if reason is None:
            self._give(label, f"saved as {label!r}")
            return
        keys = " ".join(self._keys())
        self.problems.append(
            f"not saved as {label!r}: {reason}; `lem results label {label} {keys}` "
            "does so all the same"
        )

    def _renew(self, label: str) -> None:
        """Label it if it can be compared with the others of its label as well."""
        reason = None if self._anyway else self._unfit[_APART]
        if reason is None:
            self._give(label, f"reference {label!r} renewed")
        else:
            self.told.append(f"reference {label!r} not renewed: {reason}")

    def _give(self, label: str, what: str) -> None:
        if self._try(lambda store: store.label(self._keys(), label)):
            assert self._store is not None
            (one,) = (it for it in self._store.labels() if it.label == label)
            count = f"{one.sessions} session{'s' * (one.sessions != 1)}"
            self.told.append(f"{what}: it has {count} now")

    def _keys(self) -> list[str]:
        from pytest_lem.store.rows import key_of

        assert self._session is not None
        session = self._session.model_dump()
        return [key_of(session, name) for name in self._names]

    def _try(self, work: "Callable[[Store], object]") -> bool:
        assert self._store is not None
        try:
            work(self._store)
        except StoreError as error:
            self.problems = [error.message]
            return False
        self.problems = []
        return True


def _faults(one: "ExperimentRecord", verdicts: Collection[str]) -> Iterator[str]:
    """Why its session is no reference: it failed, or is not to be believed.

    Nor is one in which it has one of these verdicts.
    """
    from pytest_lem.gate.belief import UNSOUND

    for cycle in one.cycles:
        if cycle.status not in ("complete", "rerun", "trial"):
            yield f"cycle {cycle.index} of {one.id} is {cycle.status}"
    if not any(cycle.status == "complete" for cycle in one.cycles):
        yield f"experiment {one.id} has no cycle that counts"
    yield from (f"{one.id} is flagged {it}" for it in one.flags if it in UNSOUND)
    verdict = str((one.gate or {}).get("verdict"))
    if verdict in verdicts:
        yield f"{one.id} {_SAID[verdict]}"
