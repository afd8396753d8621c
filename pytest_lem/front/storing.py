"""`--lem-store` and `--lem-save`: records go to the store as they are finished."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_lem.errors import ConfigError, StoreError
from pytest_lem.front.settings import Settings
from pytest_lem.store.opening import open_store
from pytest_lem.store.place import DEFAULT, Place, parse_place

if TYPE_CHECKING:
    from pytest_lem.records.record import Record
    from pytest_lem.store.store import Store


def place_of(settings: Settings, root: Path) -> Place | None:
    """The store that is asked for, if any; raises ConfigError where it cannot be.

    A path on the command line begins where pytest was started, any other at `root`.
    """
    if settings["store"] is None:
        return parse_place(DEFAULT, root) if settings["save"] else None
    typed = settings.origins["store"] == "cli"
    try:
        return parse_place(settings["store"], Path.cwd() if typed else root)
    except ConfigError as error:
        raise ConfigError(f"{settings.says('store')}: {error}") from error


class Storing:
    """The store of a session, if one is asked for.

    `problems` has a line for each thing that could not be written.
    """

    def __init__(self, settings: Settings, root: Path) -> None:
        self.place = place_of(settings, root)
        self.problems: list[str] = []
        self._label: str | None = settings["save"]
        self._store: Store | None = None

    def open(self) -> None:
        """Make the store ready; raises ConfigError, StoreError where it cannot be."""
        if self.place is not None and self._store is None:
            self._store = open_store(self.place, create=True)

    def put(self, record: "Callable[[], Record]") -> None:
        """Write records; where that fails, `finish` writes them again."""
        if self._store is not None:
            self._try(lambda store: store.put(record()))

    def finish(self, record: "Record") -> None:
        """Write all that is known, and label it if it is whole."""
        if self._store is None:
            return
        written = self._try(lambda store: store.put(record))
        if written and self._label is not None:
            self._save(record, self._label)
        self._store.close()

    def _save(self, record: "Record", label: str) -> None:
        from pytest_lem.store.rows import key_of

        session = record.session.model_dump()
        keys = [key_of(session, one.id) for one in record.experiments]
        if reason := _unfit(record):
            self.problems.append(
                f"not saved as {label!r}: {reason}; `lem results label {label} "
                f"{' '.join(keys)}` does so all the same"
            )
        else:
            self._try(lambda store: store.label(keys, label))

    def _try(self, work: "Callable[[Store], object]") -> bool:
        assert self._store is not None
        try:
            work(self._store)
        except StoreError as error:
            self.problems = [error.message]
            return False
        self.problems = []
        return True


def _unfit(record: "Record") -> str | None:
    """Why a session is no reference: it ended early, or something in it failed."""
    if record.session.status != "complete":
        return "the session was interrupted"
    bad = (
        f"cycle {cycle.index} of {one.id} is {cycle.status}"
        for one in record.experiments
        for cycle in one.cycles
        if cycle.status not in ("complete", "rerun", "trial")
    )
    empty = (
        f"experiment {one.id} has no cycle that counts"
        for one in record.experiments
        if not any(cycle.status == "complete" for cycle in one.cycles)
    )
    return next(chain(bad, empty), None)
