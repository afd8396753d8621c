"""Versions of the tables: made, brought up to date, or refused."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Integer, MetaData, insert, select, text

from pytest_lem.errors import StoreError
from pytest_lem.store import migrations
from pytest_lem.store.database import connect, writing
from pytest_lem.store.place import parse_place
from pytest_lem.store.tables import metadata, version
from pytest_lem.store.wanted import Wanted
from tests.store.making import cycle, report


def test_the_tables_that_are_made_are_those_that_are_queried(store):
    """Columns, types, keys and indices, of both kinds of database."""
    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


def test_an_older_store_is_brought_up_to_date_with_all_that_is_in_it(
    where, open_there, monkeypatch
):
    """By the steps that it has not seen, once."""

    def upgrade(operations):
        operations.add_column("lem_records", Column("later", Integer))

    open_there(where).put(report())
    steps = (*migrations.STEPS, upgrade)
    monkeypatch.setattr(migrations, "STEPS", steps)
    for _ in range(2):
        store = open_there(where, create=False)
        assert list(store.reports(Wanted())) == [report()]
        with store._engine.connect() as connection:
            assert connection.execute(select(version.c.version)).all() == [(3,)]
            assert connection.execute(text("SELECT later FROM lem_records")).all()


def test_records_of_the_first_version_are_read_and_found(
    where, open_there, tmp_path, monkeypatch
):
    """Their documents and GPUs, which lay elsewhere then."""
    new = open_there(str(tmp_path / "new.db"))
    new.put(report(cycles=[cycle(0)]))
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", migrations.STEPS[:1])
        old = open_there(where)
    tables = MetaData()
    tables.reflect(old._engine)
    with new._engine.connect() as source, writing(old._engine) as connection:
        rows = {
            table.name: [dict(row) for row in source.execute(select(table)).mappings()]
            for table in metadata.sorted_tables
        }
        (record,), (document,) = rows["lem_records"], rows.pop("lem_documents")
        rows["lem_environments"][0]["gpu"] = record.pop("gpu")
        record["document"] = document["document"]
        for table in tables.sorted_tables:
            if rows[table.name] and table.name != version.name:
                connection.execute(insert(table), rows[table.name])
    store = open_there(where, create=False)
    assert list(store.reports(Wanted(gpu="GPU X"))) == [report(cycles=[cycle(0)])]
    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


def test_a_step_that_fails_changes_nothing(where, open_there, monkeypatch):
    """Not even what it had done before."""

    def upgrade(operations):
        operations.add_column("lem_records", Column("later", Integer))
        operations.execute("INSERT INTO nowhere VALUES (1)")

    open_there(where).put(report())
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", (*migrations.STEPS, upgrade))
        with pytest.raises(StoreError, match="nowhere"):
            open_there(where)
    store = open_there(where)
    assert list(store.reports(Wanted())) == [report()]
    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


def test_a_newer_store_is_refused_with_both_versions(sqlite, open_there):
    """An older program would read it wrongly."""
    store = open_there(sqlite)
    with writing(store._engine) as connection:
        connection.execute(version.update().values(version=99))
    with pytest.raises(StoreError, match=r"version 99 of the tables, .* knows 2: "):
        open_there(sqlite)


def test_a_database_of_others_is_no_store_and_may_hold_one(where, open_there):
    """Reading makes no tables; writing makes ours beside theirs."""
    place = parse_place(where, Path.cwd())
    if place.path is not None:
        place.path.parent.mkdir()
        place.path.touch()
    with writing(connect(place, create=True)) as connection:
        connection.execute(text("CREATE TABLE theirs (a INTEGER)"))
        connection.execute(text("INSERT INTO theirs VALUES (7)"))
    with pytest.raises(StoreError, match="holds no results of pytest-lem"):
        open_there(where, create=False)
    store = open_there(where)
    store.put(report())
    with store._engine.connect() as connection:
        assert connection.execute(text("SELECT a FROM theirs")).scalar() == 7


def test_a_store_of_two_versions_is_refused(sqlite, open_there):
    """A store has one number; two would mean that two processes made it."""
    store = open_there(sqlite)
    with writing(store._engine) as connection:
        connection.execute(insert(version).values(version=1))
    with pytest.raises(StoreError, match=r"store .*: Multiple rows"):
        open_there(sqlite)
