"""Bulky arrays of a cycle: apart, as one Parquet file that is named by its hash.

A file has one row, and a column for each array, named by its place in the cycle.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, delete, insert, select

from pytest_lem.records.files import replacing
from pytest_lem.store.tables import blobs

LEAST = 64
MISSING = "arrays_file_missing"

_MARK = "$array"
# What the record has no fixed shape for; elsewhere a list must stay a list.
_OF_CYCLE = ("native", "machine", "prompts", "worker", "effective", "model")
_OF_WINDOW = (
    *("latency", "phases", "flops", "thermal", "attribution", "scheduler"),
    *("arrivals", "goodput"),
)


def take_out(cycle: dict[str, Any]) -> bytes | None:
    """Move the bulky arrays of a cycle's JSON to a file; None where it has none.

    Only those go that come back from Parquet as they went.
    """
    found = dict(_bulky(cycle))
    if not found:
        return None
    columns = {}
    for name, (holder, key) in found.items():
        array = _as_arrow(holder[key])
        if array is not None:
            columns[name] = array
            holder[key] = {_MARK: name}
    return _written(columns) if columns else None


def put_back(cycle: dict[str, Any], content: bytes | None) -> None:
    """Move the arrays back; where the file is gone they are null, with the reason."""
    columns = {} if content is None else _read(content)
    values = {name: one for name, (one,) in columns.items()}
    for holder, key in _marks(cycle):
        name = holder[key][_MARK]
        holder[key] = values.get(name)
        if name not in values:
            cycle["nulls"][name] = MISSING


def digest(content: bytes) -> str:
    """The name of a file."""
    return hashlib.sha256(content).hexdigest()


class Arrays(Protocol):
    """Where files are kept; `connection` is in a transaction, of a writer to change."""

    def keep(self, connection: Connection, name: str, content: bytes) -> None:
        """Keep a file under its hash; one that is there stays."""

    def read(self, connection: Connection, name: str) -> bytes | None:
        """The file of that hash; None where it is gone or is another by now."""

    def drop(self, connection: Connection, names: Iterable[str]) -> None:
        """Remove files."""


class Folder:
    """Files in a folder beside the database, none of whose folders gets large."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keep(self, connection: Connection, name: str, content: bytes) -> None:
        """Write the file, on the disk before the row that names it."""
        path = self._path(name)
        if self.read(connection, name) is not None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as draft:
            draft.write_bytes(content)

    def read(self, connection: Connection, name: str) -> bytes | None:  # noqa: ARG002
        """The file's content."""
        try:
            content = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        return content if digest(content) == name else None

    def drop(self, connection: Connection, names: Iterable[str]) -> None:  # noqa: ARG002
        """Remove files."""
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.path / name[:2] / name[2:4] / f"{name}.parquet"


class Table:
    """The same files in the database, since nothing lies beside a server."""

    def keep(self, connection: Connection, name: str, content: bytes) -> None:
        """Insert the file."""
        if self.read(connection, name) is None:
            connection.execute(insert(blobs).values(sha256=name, content=content))

    def read(self, connection: Connection, name: str) -> bytes | None:
        """The file's content."""
        wanted = select(blobs.c.content).where(blobs.c.sha256 == name)
        return connection.execute(wanted).scalar_one_or_none()

    def drop(self, connection: Connection, names: Iterable[str]) -> None:
        """Delete files."""
        connection.execute(delete(blobs).where(blobs.c.sha256.in_(list(names))))


def _bulky(cycle: dict[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """(name, (what holds it, under which key)) of each long list."""
    for group in _OF_CYCLE:
        yield from _lists(cycle, group, group)
    for k, window in enumerate(cycle["windows"]):
        for group in _OF_WINDOW:
            yield from _lists(window, group, f"windows.{k}.{group}")


def _lists(holder: Any, key: Any, name: str) -> Iterator[tuple[str, tuple[Any, Any]]]:
    value = holder[key] if isinstance(holder, list) else holder.get(key)
    if isinstance(value, list) and len(value) >= LEAST:
        yield name, (holder, key)
    elif isinstance(value, (dict, list)):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for one in keys:
            yield from _lists(value, one, f"{name}.{one}")


def _marks(value: Any) -> Iterator[tuple[Any, Any]]:
    """(what holds it, under which key) of each place that an array was taken from."""
    if not isinstance(value, (dict, list)):
        return
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        one = value[key]
        if isinstance(one, dict) and set(one) == {_MARK}:
            yield value, key
        else:
            yield from _marks(one)


def _as_arrow(values: list[Any]) -> Any:
    """A column of one row; None where Parquet would change what is in it."""
    import pyarrow as pa

    try:
        array = pa.array([values])
        (back,) = _read(_written({"a": array}))["a"]
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return None
    return array if json.dumps(back) == json.dumps(values) else None


def _written(columns: dict[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()


def _read(content: bytes) -> dict[str, list[Any]]:
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = pq.read_table(io.BytesIO(content)).to_pydict()
    return columns
