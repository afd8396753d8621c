"""A store of records made by hand, and a browser's requests to its viewer."""

from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from pytest_lem.store.opening import open_store
from pytest_lem.store.place import parse_place
from pytest_lem.store.wanted import Wanted
from pytest_lem.web.application import application
from pytest_lem.web.guard import Guard
from tests.store.making import cycle, report


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Sessions: `a`, then `b` and `c` on another GPU, then `a` again."""
    path = tmp_path_factory.mktemp("web") / "results.db"
    store = open_store(parse_place(str(path), Path.cwd()), create=True)
    store.put(report("one", ["t.py::a"]))
    store.put(
        report(
            "two",
            ["t.py::b", "t.py::c"],
            day="2026-01-02",
            backend="vllm",
            gpu="GPU Y",
            identity="b" * 16,
        )
    )
    faster = [cycle(k, day="2026-01-03", speed=100.0) for k in range(2)]
    store.put(report("three", ["t.py::a"], day="2026-01-03", cycles=faster))
    store.label([one.key for one in store.find(Wanted(session="one"))], "main")
    yield store
    store.close()


@pytest.fixture(scope="module")
def keys(store):
    """The key of each record by session and experiment."""
    return {
        f"{one.session} {one.experiment_id.removeprefix('t.py::')}": one.key
        for one in store.find(Wanted())
    }


@pytest.fixture(scope="module")
def client(store):
    """Asks as a browser on this machine does."""
    return TestClient(application(store, Guard()), base_url="http://127.0.0.1:8300")
