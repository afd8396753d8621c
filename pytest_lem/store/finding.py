"""Finding records in a store."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Select,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from pytest_lem.errors import ConfigError
from pytest_lem.store.rows import utc
from pytest_lem.store.tables import labels, metrics, records, sessions
from pytest_lem.store.wanted import Found, Labelled, Value, Wanted

# Parameters of one statement; SQLite takes 32766.
_AT_ONCE = 500
_HEX = re.compile(r"[0-9a-fA-F]{1,16}")
_TOLD = (
    *(records.c[one] for one in ("id", "key", "experiment_id", "identity")),
    *(records.c[one] for one in ("backend", "model", "precision")),
    *(records.c[one] for one in ("engine_version", "gpu", "started_at", "cycles")),
    *(records.c[one] for one in ("synthetic", "flags", "verdict")),
    sessions.c.name.label("session"),
    sessions.c.status,
)


class _Alike(FunctionElement[bool]):
    """LIKE, whatever the case: SQLite's own is, and takes half as long as `lower`."""

    type = Boolean()
    inherit_cache = True


@compiles(_Alike)
def _alike(element: _Alike, compiler: SQLCompiler, **given: Any) -> str:
    """`/` stands before a letter that is meant as it is."""
    like = "LIKE" if compiler.dialect.name == "sqlite" else "ILIKE"
    column, within = (compiler.process(one, **given) for one in element.clauses)
    return f"{column} {like} {within} ESCAPE '/'"


def find(connection: Connection, wanted: Wanted, names: Sequence[str]) -> list[Found]:
    """The records, newest first, with the metrics of these names."""
    return [*_found(connection, narrowed(select(*_TOLD), wanted), names).values()]


def found_by_id(
    connection: Connection, ids: Sequence[int], names: Sequence[str]
) -> list[Found]:
    """The records of these numbers, in their order."""
    query = select(*_TOLD).select_from(records.join(sessions))
    found = _found(connection, query.where(records.c.id.in_(ids)), names)
    return [found[one] for one in ids]


def narrowed(query: Select[Any], wanted: Wanted) -> Select[Any]:
    """The query of records for those that are wanted, newest first.

    Raises ConfigError for what is no date.
    """
    query = query.select_from(records.join(sessions)).where(*conditions(wanted))
    newest = (records.c.started_at.desc(), records.c.id.desc())
    return query.order_by(*newest).limit(wanted.limit)


def labelled(connection: Connection) -> list[Labelled]:
    """All labels, in order."""
    query = select(
        labels.c.label,
        func.count(records.c.session_id.distinct()).label("sessions"),
        func.count().label("records"),
        func.max(records.c.started_at).label("latest"),
    ).select_from(labels.join(records))
    rows = connection.execute(query.group_by(labels.c.label).order_by(labels.c.label))
    return [Labelled(**row) for row in rows.mappings()]


def parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """As many at once as a statement may have."""
    for k in range(0, len(values), _AT_ONCE):
        yield values[k : k + _AT_ONCE]


def conditions(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    """What holds of records that are wanted; raises ConfigError for what is no date."""
    if wanted.keys:
        yield or_(*(_begins(records.c.key, one) for one in wanted.keys))
    if wanted.identity is not None:
        yield _begins(records.c.identity, wanted.identity)
    for column in ("experiment_id", "backend", "model", "gpu", "verdict"):
        value = getattr(wanted, column.removesuffix("_id"))
        if value is not None:
            yield records.c[column] == value
    if wanted.flag is not None:
        flags = literal(" ").concat(records.c.flags).concat(" ")
        yield flags.contains(f" {wanted.flag} ", autoescape=True)
    yield from (_holds(word) for word in (wanted.text or "").split())
    yield from _belonging(wanted)
    if wanted.since is not None:
        yield records.c.started_at >= _moment(wanted.since, time.min)
    if wanted.until is not None:
        yield records.c.started_at <= _moment(wanted.until, time.max)


def _belonging(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    """To what has a table of its own."""
    if wanted.label is not None:
        named = select(labels.c.record_id).where(labels.c.label == wanted.label)
        yield records.c.id.in_(named)
    if wanted.session is not None:
        named = select(sessions.c.id).where(sessions.c.name == wanted.session)
        yield records.c.session_id.in_(named)


def _holds(word: str) -> ColumnElement[bool]:
    """Whether a word stands in what a record is called, whatever the case."""
    escaped = re.sub(r"([/%_])", r"/\1", word)
    within = literal(f"%{escaped}%")
    names = [records.c[one] for one in ("experiment_id", "model", "backend")]
    digits = [records.c[one] for one in ("key", "identity")]
    some = select(sessions.c.id).where(_Alike(sessions.c.name, within))
    return or_(
        *(_Alike(one, within) for one in names),
        *(_begins(one, word) for one in digits if _HEX.fullmatch(word)),
        records.c.session_id.in_(some),
    )


def _begins(column: ColumnElement[str], digits: str) -> ColumnElement[bool]:
    """As a range, which an index answers whatever the database's order of letters."""
    digits = digits.lower()
    if len(digits) >= 16:
        return column == digits
    return column.between(digits, digits.ljust(16, "f"))


def _moment(text: str, of_day: time) -> str:
    try:
        if len(text) > len("2026-01-01"):
            return utc(text)
        day = datetime.combine(date.fromisoformat(text), of_day)
        return utc(day.isoformat())
    except ValueError:
        raise ConfigError(
            f"{text!r} is no date: write 2026-01-31 or 2026-01-31T12:00"
        ) from None


def _found(
    connection: Connection, query: Select[Any], names: Sequence[str]
) -> dict[int, Found]:
    """By their numbers, in the query's order."""
    rows = connection.execute(query).mappings().all()
    ids = [row["id"] for row in rows]
    named, known = _labels(connection, ids), _metrics(connection, ids, names)
    return {
        row["id"]: Found(
            **{k: v for k, v in row.items() if k not in ("id", "flags")},
            flags=tuple(row["flags"].split()),
            labels=tuple(named.get(row["id"], ())),
            metrics=known.get(row["id"], {}),
        )
        for row in rows
    }


def _labels(connection: Connection, ids: Sequence[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for some in parts(ids):
        query = select(labels).where(labels.c.record_id.in_(some))
        for row in connection.execute(query.order_by(labels.c.label)):
            found.setdefault(row.record_id, []).append(row.label)
    return found


def _metrics(
    connection: Connection, ids: Sequence[int], names: Iterable[str]
) -> dict[int, dict[str, Value]]:
    found: dict[int, dict[str, Value]] = {}
    for some in parts(ids):
        query = select(metrics).where(
            metrics.c.record_id.in_(some), metrics.c.metric.in_(list(names))
        )
        for row in connection.execute(query):
            value = Value(
                value=row.value, ci_low=row.ci_low, ci_high=row.ci_high, n=row.n
            )
            found.setdefault(row.record_id, {})[row.metric] = value
    return found
