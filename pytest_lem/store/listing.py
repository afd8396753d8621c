"""Records page by page in an order, quick however many there are.

A page begins after the last record of the one before it, by what they are sorted by and
their number, so that an index leads there and what is written meanwhile moves nothing.
"""

import base64
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select, tuple_

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.errors import ConfigError
from pytest_lem.spec.nearest import unknown
from pytest_lem.store.finding import conditions, found_by_id, parts
from pytest_lem.store.tables import documents, labels, metrics, records
from pytest_lem.store.wanted import Choices, Page, Wanted

PAGE = 50
_COUNTED = 1_000
Order = tuple[ColumnElement[Any], ColumnElement[Any]]
_COLUMNS = {one: records.c[one] for one in ("started_at", "experiment_id")}


def page(
    connection: Connection,
    wanted: Wanted,
    names: Sequence[str],
    *,
    sort: str,
    after: str | None,
) -> Page:
    """So many of the records; raises ConfigError for what cannot be sorted by."""
    size = wanted.limit or PAGE
    name = sort.removeprefix("-")
    query, order = _sorted(name, wanted)
    down = sort != name
    query = query.order_by(*(one.desc() if down else one.asc() for one in order))
    if after is None:
        # What a search looks through is looked through once.
        found = connection.execute(query.limit(_COUNTED + 1)).all()
        rows, count = found[: size + 1], len(found)
    else:
        place = _place(after, str if name in _COLUMNS else float)
        reached = tuple_(*order) < place if down else tuple_(*order) > place
        rows = connection.execute(query.where(reached).limit(size + 1)).all()
        counted = query.order_by(None).limit(_COUNTED + 1).subquery()
        count = connection.execute(
            select(func.count()).select_from(counted)
        ).scalar_one()
    more, rows = len(rows) > size, rows[:size]
    return Page(
        records=found_by_id(connection, [row.id for row in rows], names),
        after=_text(rows[-1]) if more else None,
        count=min(count, _COUNTED),
        uncounted=count > _COUNTED,
    )


def gates(connection: Connection, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What stands in the documents of those that were judged."""
    found = {}
    for some in parts(keys):
        query = select(records.c.key, documents.c.document)
        query = query.select_from(records.join(documents)).where(
            records.c.key.in_(some), records.c.verdict.is_not(None)
        )
        for key, document in connection.execute(query):
            found[key] = json.loads(document)["gate"]
    return found


def choices(connection: Connection) -> Choices:
    """The values that there are."""

    def values(column: ColumnElement[Any]) -> list[str]:
        query = select(column).where(column.is_not(None)).distinct().order_by(column)
        return [*connection.execute(query).scalars()]

    together = {flag for flags in values(records.c.flags) for flag in flags.split()}
    return Choices(
        backends=values(records.c.backend),
        models=values(records.c.model),
        gpus=values(records.c.gpu),
        verdicts=values(records.c.verdict),
        flags=sorted(together),
        labels=values(labels.c.label),
    )


def _sorted(name: str, wanted: Wanted) -> tuple[Select[Any], Order]:
    """The query of numbers and values, and what orders it: one of each is enough.

    A search looks at all records once, in the order in which they lie: by an index it
    would be led to each, here and there.
    """
    holding = [*conditions(wanted)]
    if name in _COLUMNS:
        column = _COLUMNS[name]
        order = (column.concat("") if wanted.text else column, records.c.id)
        query = select(records.c.id, column.label("value"))
        return query.where(*holding), order
    if name not in METRICS:
        raise ConfigError(unknown("order", name, [*_COLUMNS, *METRICS]))
    order = (metrics.c.value, metrics.c.record_id)
    query = select(order[1].label("id"), order[0].label("value"))
    query = query.where(metrics.c.metric == name)
    if wanted.text:
        some = select(records.c.id).where(*holding)
        return query.where((metrics.c.record_id + 0).in_(some)), order
    own = metrics.c.record_id == records.c.id
    return query.select_from(metrics.join(records, own)).where(*holding), order


def _text(row: Any) -> str:
    told = json.dumps([row.value, row.id])
    return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")


def _place(after: str, kind: type) -> ColumnElement[Any]:
    try:
        told = base64.urlsafe_b64decode(after + "=" * (-len(after) % 4))
        value, number = json.loads(told)
    except (ValueError, TypeError):
        value = number = None
    if not (isinstance(value, kind) and isinstance(number, int)):
        raise ConfigError(f"{after!r} is no place in a list that is sorted so")
    return tuple_(value, number)
