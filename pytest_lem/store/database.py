"""A database as a store needs it: safe for several writers, and errors in one line."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from pytest_lem.errors import StoreError
from pytest_lem.store.place import Place

BUSY_S = 60.0
_WRITES = "lem_writes"
# Any number that no other program locks in the same database.
_LOCK = 0x6C656D


def connect(place: Place, *, create: bool) -> Engine:
    """The engine of a place; raises StoreError where there is and can be none."""
    if place.path is None:
        return create_engine(place.url, pool_pre_ping=True)
    path = place.path.absolute()
    _check_file(path, create=create)
    # Opened later it must be there: SQLite would make an empty one, and lose nothing
    # more than the records.
    uri = f"file:{quote(str(path))}?mode=rw"
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(
            uri, uri=True, timeout=BUSY_S, check_same_thread=False
        ),
        poolclass=QueuePool,
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "checkout", _Present(path))
    event.listen(engine, "begin", _begin)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction, and no other writer's beside it."""
    writer = engine.execution_options(**{_WRITES: True})
    with writer.begin() as connection:
        if engine.dialect.name == "postgresql":
            lock = text("SELECT pg_advisory_xact_lock(:key)")
            connection.execute(lock, {"key": _LOCK})
        yield connection


@contextmanager
def told(place: Place) -> Iterator[None]:
    """Errors of the database, and of its files, as StoreError of one line."""
    try:
        yield
    except DBAPIError as error:
        raise StoreError(f"store {place}: {_line(error.orig)}") from error
    except (SQLAlchemyError, sqlite3.Error, OSError, ValueError) as error:
        raise StoreError(f"store {place}: {_line(error)}") from error


def _line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _check_file(path: Path, *, create: bool) -> None:
    if path.is_file():
        return
    if not create:
        raise StoreError(f"there is no store {path}")
    if not path.parent.is_dir() and not path.parent.parent.is_dir():
        raise StoreError(f"store {path}: {path.parent.parent} is no directory")
    path.parent.mkdir(exist_ok=True)
    path.touch()


class _Present:
    """Lets no connection go on with a file that was removed, or replaced, meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, _: object, entry: ConnectionPoolEntry, __: object) -> None:
        found = self.path.stat() if self.path.exists() else None
        now = (found.st_dev, found.st_ino) if found else None
        if entry.info.setdefault("file", now) != now:
            raise DisconnectionError


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    """Transactions begin as we say, readers never wait, and commits are on the disk."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


def _begin(connection: Connection) -> None:
    """A writer waits for its turn before it reads, or it would read what is old."""
    wants = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if wants else "BEGIN")
