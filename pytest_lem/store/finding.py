"""Finding records in a store."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from pytest_lem.errors import ConfigError
from pytest_lem.store.rows import utc
from pytest_lem.store.tables import (
    environments,
    labels,
    metrics,
    records,
    sessions,
)
from pytest_lem.store.wanted import Found, Labelled, Value, Wanted

# Parameters of one statement; SQLite takes 32766.
_AT_ONCE = 500


def find(connection: Connection, wanted: Wanted, names: Sequence[str]) -> list[Found]:
    """The records, newest first, with the metrics of these names."""
    told = [
        *(records.c[one] for one in ("id", "key", "experiment_id", "identity")),
        *(records.c[one] for one in ("backend", "model", "precision")),
        *(records.c[one] for one in ("engine_version", "started_at", "cycles")),
        *(records.c[one] for one in ("synthetic", "flags", "verdict")),
        sessions.c.name.label("session"),
        sessions.c.status,
        environments.c.gpu,
    ]
    rows = connection.execute(narrowed(select(*told), wanted)).mappings().all()
    ids = [row["id"] for row in rows]
    named, known = _labels(connection, ids), _metrics(connection, ids, names)
    return [
        Found(
            **{k: v for k, v in row.items() if k not in ("id", "flags")},
            flags=tuple(row["flags"].split()),
            labels=tuple(named.get(row["id"], ())),
            metrics=known.get(row["id"], {}),
        )
        for row in rows
    ]


def narrowed(query: Select[Any], wanted: Wanted) -> Select[Any]:
    """The query of records for those that are wanted, newest first.

    Raises ConfigError for what is no date.
    """
    query = query.select_from(records.join(sessions).join(environments))
    for condition in _conditions(wanted):
        query = query.where(condition)
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


def _conditions(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    if wanted.keys:
        yield or_(*(_begins(records.c.key, one) for one in wanted.keys))
    if wanted.identity is not None:
        yield _begins(records.c.identity, wanted.identity)
    if wanted.experiment is not None:
        yield records.c.experiment_id == wanted.experiment
    if wanted.backend is not None:
        yield records.c.backend == wanted.backend
    if wanted.model is not None:
        yield records.c.model == wanted.model
    if wanted.label is not None:
        named = select(labels.c.record_id).where(labels.c.label == wanted.label)
        yield records.c.id.in_(named)
    if wanted.since is not None:
        yield records.c.started_at >= _moment(wanted.since, time.min)
    if wanted.until is not None:
        yield records.c.started_at <= _moment(wanted.until, time.max)


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
