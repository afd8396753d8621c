"""Stores of both kinds: a file, and a database of a server started for the tests."""

import shutil
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

from benchmarks.perf.postgres import server
from pytest_lem.store.opening import open_store
from pytest_lem.store.place import parse_place


@pytest.fixture(scope="session")
def postgresql():
    """`connect` arguments of a real server, which ends with the tests."""
    psycopg = pytest.importorskip("psycopg")
    folder = Path(tempfile.mkdtemp(prefix="lem-pg-"))
    try:
        with server(folder, "-c fsync=off") as user:
            if user is None:
                pytest.skip("PostgreSQL is not here (Debian: apt install postgresql)")
            yield psycopg, folder, user
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def sqlite(tmp_path):
    """The path of a file that is not there yet."""
    return str(tmp_path / "lem" / "results.db")


@pytest.fixture
def postgres(postgresql, tmp_path):
    """The URL of a new database."""
    psycopg, folder, user = postgresql
    name = f"d{abs(hash(tmp_path))}"
    with psycopg.connect(
        host=str(folder), user=user, dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql:///{name}?host={folder}&user={user}"


@pytest.fixture(params=["sqlite", "postgres"])
def where(request):
    """A new place of each kind, as people write it."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def open_there():
    """Open a place as its user does; closed with the test."""
    stores = []

    def open_there(where, *, create=True):
        stores.append(open_store(parse_place(where, Path.cwd()), create=create))
        return stores[-1]

    yield open_there
    for one in stores:
        one.close()


@pytest.fixture
def store(where, open_there):
    """A new store of each kind."""
    return open_there(where)
