"""`lem serve`, typed as a user does."""

import json
import signal
import subprocess
import sys
from urllib.request import urlopen

import pytest
from typer.testing import CliRunner

from pytest_lem.cli import app
from tests.web.serving import served


@pytest.fixture
def refused(monkeypatch):
    """What is said of a command that starts nothing, in one line."""
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("LEM_STORE", "LEM_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def refused(*arguments):
        done = CliRunner().invoke(app, ["serve", *map(str, arguments)])
        assert done.exit_code == 2
        (line,) = done.stderr.splitlines()
        return line

    return refused


def test_what_cannot_be_served_is_told_in_one_line(refused, store, tmp_path):
    """A store that is none, an address that others reach, a port that is taken."""
    place = f"--store={store.place}"
    assert "there is no store" in refused(f"--store={tmp_path / 'nothing.db'}")
    assert "no database 'mysql' is known" in refused("--store=mysql://there")
    assert "set a token" in refused(place, "--host=0.0.0.0")
    assert "nowhere.invalid:8300: " in refused(
        place, "--host=nowhere.invalid", "--token=0123456789abcdef"
    )


@pytest.mark.parametrize("library", ["fastapi", "uvicorn", "jinja2", "plotly"])
def test_a_library_that_is_missing_is_told_with_its_extra(
    refused, monkeypatch, library
):
    """Before anything else."""
    monkeypatch.setitem(sys.modules, library, None)
    told = refused("--store=mysql://there")
    assert told == f"lem serve needs {library}: pip install 'pytest-lem[web]'"


@pytest.mark.slow
def test_a_server_answers_until_it_is_interrupted(store):
    """With a connection still open; a second one is told that the port is taken."""
    with served(f"--store={store.place}") as (process, place, url):
        assert place == str(store.place)
        with urlopen(f"{url}api/labels") as answer:
            assert json.load(answer)[0]["label"] == "main"
            port = url.rstrip("/").rpartition(":")[2]
            command = [sys.executable, "-m", "pytest_lem.cli", "serve"]
            again = subprocess.run(
                [*command, f"--store={store.place}", f"--port={port}"],
                capture_output=True,
                text=True,
                check=False,
            )
            assert again.returncode == 2
            taken = f"127.0.0.1:{port}: Address already in use; "
            assert again.stderr == f"{taken}--host and --port say where else\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130
        assert process.stderr.read() == ""


@pytest.mark.slow
def test_an_empty_store_says_so(tmp_path):
    """And is served: records may come."""
    from pytest_lem.store.opening import open_store
    from pytest_lem.store.place import parse_place

    open_store(parse_place("new.db", tmp_path), create=True).close()
    with served(f"--store={tmp_path / 'new.db'}") as (process, _, url):
        with urlopen(f"{url}api/records") as answer:
            assert json.load(answer)["records"] == []
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        assert process.stderr.read() == f"{tmp_path / 'new.db'} has no records yet\n"
