"""A store, open: records go in, are found, and come out as they went in."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, TableClause, delete, insert, select, update

from pytest_lem.records.record import ExperimentRecord, Record
from pytest_lem.store.arrays import Arrays, Folder, Table
from pytest_lem.store.database import connect, told, writing
from pytest_lem.store.finding import find, labelled, narrowed, parts
from pytest_lem.store.listing import choices, gates, page
from pytest_lem.store.migrations import bring_up
from pytest_lem.store.place import Place
from pytest_lem.store.rows import (
    ExperimentRows,
    Row,
    environment_row,
    experiment_of,
    experiment_rows,
    record_of,
    session_row,
)
from pytest_lem.store.tables import (
    cycles,
    documents,
    environments,
    labels,
    metrics,
    records,
    sessions,
    windows,
)
from pytest_lem.store.wanted import Choices, Found, Labelled, Page, Wanted


@dataclass(slots=True)
class Tally:
    """How many records were new, were there with other content, or were the same."""

    added: int = 0
    replaced: int = 0
    known: int = 0

    def __iadd__(self, other: "Tally") -> "Tally":
        self.added += other.added
        self.replaced += other.replaced
        self.known += other.known
        return self


@dataclass(slots=True, kw_only=True)
class Coming:
    """A report of which records are still to be written: its rows, and how many are."""

    report: dict[str, Any]
    session: Row
    environment: Row
    owner: int | None = None
    position: int = 0
    tally: Tally = field(default_factory=Tally)


class Store:
    """The database of records at a place; every method raises StoreError."""

    def __init__(self, place: Place, *, create: bool = False) -> None:
        self.place = place
        folder = place.arrays
        self._arrays: Arrays = Table() if folder is None else Folder(folder)
        with told(place):
            self._engine: Engine = connect(place, create=create)
            bring_up(self._engine, str(place), create=create)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def put(self, record: Record) -> Tally:
        """Write a report, each of its records whole or not at all, its session last.

        A record that is there is replaced where it differs, and keeps its labels.
        """
        coming = self.begin(record)
        count = len(record.experiments)
        for number, one in enumerate(record.experiments, start=1):
            self.add(coming, one, last=number == count)
        return coming.tally

    def begin(self, head: Record) -> "Coming":
        """Await a report whose records come one by one; `head` is all the rest."""
        bare = head.model_copy(update={"experiments": []})
        report = json.loads(bare.model_dump_json())
        return Coming(
            report=report,
            session=session_row(report),
            environment=environment_row(report["environment"]),
        )

    def add(
        self, coming: "Coming", experiment: ExperimentRecord, *, last: bool = False
    ) -> None:
        """Write the next record, whole or not at all; with the `last` what `end` does.

        That spares a write of its own.
        """
        told_of = json.loads(experiment.model_dump_json())
        rows = experiment_rows(coming.report, told_of)
        with told(self.place):
            with writing(self._engine) as connection:
                coming.owner = _session(connection, coming.session, coming.environment)
                at = coming.position
                stale = self._put(connection, coming.owner, at, rows, coming.tally)
                if last:
                    _renew(connection, coming)
            self._sweep(stale)
        coming.position += 1

    def end(self, coming: "Coming") -> None:
        """Write what is known of the session now that all of its records are there."""
        if coming.owner is not None:
            with told(self.place), writing(self._engine) as connection:
                _renew(connection, coming)

    def find(self, wanted: Wanted, metrics: Sequence[str] = ()) -> list[Found]:
        """The records, newest first, with metrics of these names."""
        with told(self.place), self._engine.connect() as connection:
            return find(connection, wanted, metrics)

    def page(
        self,
        wanted: Wanted,
        metrics: Sequence[str] = (),
        *,
        sort: str = "-started_at",
        after: str | None = None,
    ) -> Page:
        """Some of the records in an order, `wanted.limit` of them at most.

        `sort` is `started_at`, `experiment_id` or a metric, which only those that have
        it are sorted by; the largest come first after a minus. Raises ConfigError.
        """
        with told(self.place), self._engine.connect() as connection:
            return page(connection, wanted, metrics, sort=sort, after=after)

    def gates(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """By key the verdicts, rule by rule, of records that were judged."""
        with told(self.place), self._engine.connect() as connection:
            return gates(connection, keys)

    def choices(self) -> Choices:
        """What records can be chosen by."""
        with told(self.place), self._engine.connect() as connection:
            return choices(connection)

    def labels(self) -> list[Labelled]:
        """All labels, with how many sessions and records have each."""
        with told(self.place), self._engine.connect() as connection:
            return labelled(connection)

    def reports(self, wanted: Wanted) -> Iterator[Record]:
        """The records as they were put in: a report of each session that has some."""
        query = narrowed(select(records.c.id, records.c.session_id), wanted)
        with told(self.place), self._engine.connect() as connection:
            ids: dict[int, list[int]] = {}
            for row in connection.execute(query):
                ids.setdefault(row.session_id, []).append(row.id)
            for session, some in ids.items():
                yield self._report(connection, session, some)

    def delete(self, keys: Sequence[str]) -> int:
        """Remove records, and what only they needed; how many there were."""
        stale: set[str] = set()
        count = 0
        with told(self.place):
            with writing(self._engine) as connection:
                for some in parts(keys):
                    query = select(records.c.id).where(records.c.key.in_(some))
                    ids = connection.execute(query).scalars().all()
                    stale |= _files(connection, ids)
                    gone = delete(records).where(records.c.id.in_(ids))
                    connection.execute(gone)
                    count += len(ids)
                _tidy(connection)
            self._sweep(stale)
        return count

    def label(self, keys: Sequence[str], label: str) -> None:
        """Give records a label; one that they have stays."""
        with told(self.place), writing(self._engine) as connection:
            for some in parts(keys):
                have = select(labels.c.record_id).where(labels.c.label == label)
                query = select(records.c.id).where(
                    records.c.key.in_(some), records.c.id.not_in(have)
                )
                new = connection.execute(query).scalars().all()
                rows = [{"record_id": one, "label": label} for one in new]
                if rows:
                    connection.execute(insert(labels), rows)

    def _put(
        self,
        connection: Connection,
        session: int,
        position: int,
        rows: ExperimentRows,
        tally: Tally,
    ) -> set[str]:
        """Write one record; the files that it needs no more."""
        row = {**rows.record, "session_id": session, "position": position}
        same = select(records.c.id, records.c.sha256).where(records.c.key == row["key"])
        there = connection.execute(same).one_or_none()
        stale: set[str] = set()
        if there is not None:
            changed = update(records).where(records.c.id == there.id).values(**row)
            connection.execute(changed)
            if there.sha256 == row["sha256"]:
                tally.known += 1
                return stale
            tally.replaced += 1
            stale = _files(connection, [there.id])
            for table in (documents, metrics, windows, cycles):
                connection.execute(delete(table).where(table.c.record_id == there.id))
            id_ = there.id
        else:
            tally.added += 1
            id_ = _new(connection, records, row)
        for name, content in rows.files.items():
            self._arrays.keep(connection, name, content)
        for table, some in (
            (documents, [{"document": rows.document}]),
            (metrics, rows.metrics),
            (cycles, rows.cycles),
            (windows, rows.windows),
        ):
            if some:
                of_record = [{**one, "record_id": id_} for one in some]
                connection.execute(insert(table), of_record)
        return stale

    def _report(
        self, connection: Connection, session: int, ids: Sequence[int]
    ) -> Record:
        query = select(sessions.c.document, environments.c.document)
        query = query.select_from(sessions.join(environments))
        told_of = connection.execute(query.where(sessions.c.id == session)).one()
        found: list[Any] = []
        for some in parts(ids):
            whole = select(records.c.id, documents.c.document, records.c.position)
            whole = whole.select_from(records.join(documents))
            found += connection.execute(whole.where(records.c.id.in_(some))).all()
        found.sort(key=lambda one: (one.position, one.id))
        experiments = [self._experiment(connection, one) for one in found]
        return record_of(told_of[0], told_of[1], experiments)

    def _experiment(self, connection: Connection, row: Any) -> dict[str, Any]:
        query = select(cycles.c.document, cycles.c.arrays_sha256)
        query = query.where(cycles.c.record_id == row.id).order_by(cycles.c.position)
        ran = [
            (one.document, one.arrays_sha256 and self._arrays.read(connection, one[1]))
            for one in connection.execute(query).all()
        ]
        inside: list[list[str]] = [[] for _ in ran]
        query = select(windows.c.cycle_position, windows.c.document)
        query = query.where(windows.c.record_id == row.id)
        order = (windows.c.cycle_position, windows.c.position)
        for one in connection.execute(query.order_by(*order)):
            inside[one.cycle_position].append(one.document)
        return experiment_of(row.document, ran, inside)

    def _sweep(self, names: set[str]) -> None:
        """Remove files that nothing needs any more, while nobody can begin to."""
        if not names:
            return
        with writing(self._engine) as connection:
            needed = set()
            for some in parts(sorted(names)):
                query = select(cycles.c.arrays_sha256)
                query = query.where(cycles.c.arrays_sha256.in_(some))
                needed |= set(connection.execute(query).scalars())
            self._arrays.drop(connection, names - needed)


def _session(connection: Connection, session: Row, environment: Row) -> int:
    """The row of a session, made where there is none."""
    query = select(sessions.c.id).where(
        sessions.c.name == session["name"],
        sessions.c.started_at == session["started_at"],
    )
    found = connection.execute(query).scalar_one_or_none()
    if found is not None:
        return int(found)
    of_machine = select(environments.c.id)
    of_machine = of_machine.where(environments.c.sha256 == environment["sha256"])
    machine = connection.execute(of_machine).scalar_one_or_none()
    if machine is None:
        machine = _new(connection, environments, environment)
    return _new(connection, sessions, {**session, "environment_id": machine})


def _renew(connection: Connection, coming: Coming) -> None:
    """Have the row of a session say what its report does."""
    changed = update(sessions).where(sessions.c.id == coming.owner)
    connection.execute(changed.values(**coming.session))


def _new(connection: Connection, table: TableClause, row: Row) -> int:
    """Insert a row; its number."""
    done = connection.execute(insert(table).values(**row))
    assert done.inserted_primary_key is not None
    return int(done.inserted_primary_key[0])


def _files(connection: Connection, ids: Sequence[int]) -> set[str]:
    """The files of the cycles of records."""
    query = select(cycles.c.arrays_sha256).where(
        cycles.c.record_id.in_(ids), cycles.c.arrays_sha256.is_not(None)
    )
    return {str(one) for one in connection.execute(query).scalars()}


def _tidy(connection: Connection) -> None:
    """Remove sessions without records, and environments without sessions."""
    used = select(records.c.session_id)
    connection.execute(delete(sessions).where(sessions.c.id.not_in(used)))
    machines = select(sessions.c.environment_id)
    connection.execute(delete(environments).where(environments.c.id.not_in(machines)))
