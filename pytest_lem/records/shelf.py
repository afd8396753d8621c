"""The cycles of a session: all in the journal, the latest in memory as well."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_lem.records.journal import Journal
from pytest_lem.records.record import Cycle

ROOM_BYTES = 1_000_000
"""Of lines of the journal whose cycles are held, which take some five times as much."""


class Shelf:
    """The cycles of experiments by name, in the order in which these began.

    A session may have any number of them, so only the experiments that were last asked
    for are held; of all others is known where the journal has them. Whoever asks cannot
    tell which, but for a StoreError where the journal cannot be read any more.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._hashes: dict[str, list[str]] = {}
        self._held: dict[str, list[Cycle]] = {}  # the last is the one last asked for
        self._held_bytes = 0

    def __contains__(self, name: str) -> bool:
        return name in self._hashes

    def __iter__(self) -> Iterator[str]:
        return iter(self._hashes)

    def __len__(self) -> int:
        return len(self._hashes)

    def __getitem__(self, name: str) -> Sequence[Cycle]:
        held = self._let_go(name)
        if held is None:
            held = self._journal.read(self._hashes[name])
        self._hold(name, held)
        return held

    def hashes(self, name: str) -> Sequence[str]:
        """Those of an experiment's lines in the journal; none of one that has none."""
        return self._hashes.get(name, ())

    def put(self, name: str, identity: str, cycle: Cycle) -> str:
        """Take in a cycle, on disk first; the hash of its line. Raises StoreError."""
        digest = self._journal.append(name, identity, cycle)
        held = self._let_go(name) if name in self else []
        self._hashes.setdefault(name, []).append(digest)
        if held is not None:
            self._hold(name, [*held, cycle])
        return digest

    def restore(self, hashes: Mapping[str, Sequence[str]]) -> None:
        """Have what the journal has of an earlier session, and nothing else."""
        for name in [*self]:
            self.drop(name)
        self._hashes |= {name: [*some] for name, some in hashes.items()}

    def drop(self, name: str) -> None:
        """Have no more cycles of an experiment; the journal keeps its lines."""
        self._let_go(name)
        self._hashes.pop(name, None)

    def _hold(self, name: str, cycles: list[Cycle]) -> None:
        """Hold these, and let go of others for which there is no room then."""
        self._held[name] = cycles
        self._held_bytes += self._size(name)
        while self._held_bytes > ROOM_BYTES and len(self._held) > 1:
            self._let_go(next(iter(self._held)))

    def _let_go(self, name: str) -> list[Cycle] | None:
        """Hold those of an experiment no longer, if they were; they."""
        held = self._held.pop(name, None)
        if held is not None:
            self._held_bytes -= self._size(name)
        return held

    def _size(self, name: str) -> int:
        return sum(map(self._journal.size, self._hashes[name]))


def executed(name: str, cycle: Cycle) -> dict[str, Any]:
    """A cycle as the plan of a record has it among those that ran."""
    return {
        "experiment_id": name,
        "cycle": cycle.index,
        "attempt": cycle.attempt,
        "status": cycle.status,
        "started_at": cycle.started_at,
        "ended_at": cycle.ended_at,
    }
