"""Stores of both kinds: a file, and a database of a server started for the tests."""

import getpass
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

from pytest_lem.store.opening import open_store
from pytest_lem.store.place import parse_place


def _binaries():
    """The folder of PostgreSQL's programs, the newest first; Debian hides them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    elsewhere = shutil.which("initdb")
    return next((one.parent for one in found), elsewhere and Path(elsewhere).parent)


@pytest.fixture(scope="session")
def server():
    """`connect` arguments of a real server without a port, which ends with the tests.

    It refuses to be root's; where tests are, it is nobody's.
    """
    psycopg = pytest.importorskip("psycopg")
    programs = _binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed here (Debian: apt install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="lem-pg-"))
    user = "nobody" if os.geteuid() == 0 else getpass.getuser()
    if os.geteuid() == 0:
        shutil.chown(folder, user)
    who = {"user": user} if os.geteuid() == 0 else {}
    data = folder / "data"
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", user, "--auth=trust", "--no-sync"],
        check=True,
        capture_output=True,
        cwd=folder,
        **who,
    )
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    start = [programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log"]
    try:
        done = subprocess.run(
            [*start, "-o", options, "start"], cwd=folder, check=False, **who
        )
        assert done.returncode == 0, (folder / "log").read_text()
        yield psycopg, folder, user
    finally:
        stop = [programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"]
        subprocess.run(stop, cwd=folder, check=False, capture_output=True, **who)
        shutil.rmtree(folder)


@pytest.fixture
def sqlite(tmp_path):
    """The path of a file that is not there yet."""
    return str(tmp_path / "lem" / "results.db")


@pytest.fixture
def postgres(server, tmp_path):
    """The URL of a new database."""
    psycopg, folder, user = server
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
