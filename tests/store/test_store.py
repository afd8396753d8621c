"""Records go in, are found, come out as they were, and go."""

import json

import pytest

from pytest_lem.errors import ConfigError, StoreError
from pytest_lem.store.wanted import Wanted
from tests.store.making import SPEED, cycle, report


def files(store):
    """The names of the files that are kept, whichever way."""
    if store.place.arrays is not None:
        return sorted(one.stem for one in store.place.arrays.rglob("*.parquet"))
    from sqlalchemy import select

    from pytest_lem.store.tables import blobs

    with store._engine.connect() as connection:
        return sorted(connection.execute(select(blobs.c.sha256)).scalars())


def test_a_report_comes_out_as_it_went_in(store):
    """To the byte, with arrays that lay apart, and groups that others added."""
    cycles = [cycle(0, rows=80), cycle(1, rows=200), cycle(2, status="failed")]
    whole = report(names=["t.py::b", "t.py::a"], cycles=cycles)
    store.put(whole)
    assert len(files(store)) == 2
    (back,) = store.reports(Wanted())
    assert back.model_dump_json() == whole.model_dump_json()


def test_only_what_is_wanted_of_a_session_comes_out(store):
    """As a report of that session with fewer experiments."""
    whole = report(names=["t.py::a", "t.py::b"])
    store.put(whole)
    key = next(f.key for f in store.find(Wanted()) if f.experiment_id == "t.py::b")
    (back,) = store.reports(Wanted(keys=[key]))
    assert back.experiments == whole.experiments[1:]
    assert back.session == whole.session


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["c", "b", "a"]),
        ({"limit": 2}, ["c", "b"]),
        ({"identity": "aaaa000000000000"}, ["a"]),
        ({"identity": "AAAA"}, ["a"]),
        ({"backend": "vllm"}, ["b"]),
        ({"model": "synthetic:qwen3-0.6b"}, ["c"]),
        ({"label": "main"}, ["c", "a"]),
        ({"label": "main", "backend": "vllm"}, []),
        ({"since": "2026-01-02"}, ["c", "b"]),
        ({"until": "2026-01-02"}, ["b", "a"]),
        ({"since": "2026-01-02T00:00:01Z"}, ["c"]),
    ],
)
def test_records_are_found_by_what_they_are(sqlite, open_there, wanted, found):
    """The newest first, whatever the order in which they came."""
    store = open_there(sqlite)
    store.put(report("b", backend="vllm", day="2026-01-02"))
    store.put(report("a", identity="aaaa000000000000", model="other"))
    store.put(report("c", model="synthetic:qwen3-0.6b", day="2026-01-03"))
    keys = {one.session: one.key for one in store.find(Wanted())}
    store.label([keys["a"], keys["c"]], "main")
    assert [one.session for one in store.find(Wanted(**wanted))] == found


def test_what_is_found_tells_what_was_measured_and_where(store):
    """With the metrics that were asked for, and no others."""
    store.put(report())
    (found,) = store.find(Wanted(), [SPEED])
    assert (found.experiment_id, found.backend) == ("t.py::a", "fake")
    assert (found.gpu, found.cycles, found.engine_version) == ("GPU X", 2, "1")
    assert found.started_at == "2026-01-01T00:00:00.250Z"
    assert "few_cycles" in found.flags
    value = found.metrics[SPEED]
    assert (value.value, value.n) == (50.5, 2)
    assert value.ci_low < 50.5 < value.ci_high
    assert store.find(Wanted())[0].metrics == {}


def test_what_is_no_date_is_told(store):
    """With what would be one."""
    with pytest.raises(ConfigError, match="'soon' is no date: write 2026-01-31 or"):
        store.find(Wanted(since="soon"))


def test_a_record_put_again_is_one(store):
    """What is the same stays; what differs is replaced, and keeps its labels."""
    first = store.put(report(cycles=[cycle(0, rows=70)]))
    again = store.put(report(cycles=[cycle(0, rows=70)]))
    assert (first.added, again.added, again.known) == (1, 0, 1)
    (found,) = store.find(Wanted())
    store.label([found.key], "main")
    store.label([found.key], "main")
    grown = report(cycles=[cycle(0, rows=90), cycle(1)])
    assert store.put(grown).replaced == 1
    (found,) = store.find(Wanted())
    assert (found.cycles, found.labels) == (2, ("main",))
    (back,) = store.reports(Wanted())
    assert back == grown
    assert len(files(store)) == 1


def test_sessions_of_one_name_on_two_machines_are_two(store):
    """They began at different times, and nothing else tells them apart."""
    store.put(report(day="2026-01-01", gpu="GPU X"))
    store.put(report(day="2026-01-02", gpu="GPU Y"))
    assert [one.gpu for one in store.find(Wanted())] == ["GPU Y", "GPU X"]


def test_what_is_deleted_takes_along_what_only_it_needed(store):
    """Files that another record has too stay, and so does its session."""
    shared, own = cycle(0, rows=70), cycle(1, rows=90)
    store.put(report("a", cycles=[shared]))
    store.put(report("b", cycles=[shared, own], gpu="GPU Y"))
    keys = {one.session: one.key for one in store.find(Wanted())}
    assert len(files(store)) == 2
    assert store.delete([keys["b"]]) == 1
    assert len(files(store)) == 1
    (left,) = store.reports(Wanted())
    assert left == report("a", cycles=[shared])
    assert store.delete([keys["a"], "0" * 16]) == 1
    assert files(store) == []
    assert list(store.reports(Wanted())) == []


def test_an_array_whose_file_is_gone_is_null_with_the_reason(sqlite, open_there):
    """Everything else is there; a file that was changed is none."""
    store = open_there(sqlite)
    store.put(report(cycles=[cycle(0, rows=70), cycle(1, rows=90)]))
    one, other = store.place.arrays.rglob("*.parquet")
    one.unlink()
    other.write_bytes(other.read_bytes() + b"more")
    (back,) = store.reports(Wanted())
    for found in back.experiments[0].cycles:
        assert found.windows[0].attribution["requests"] is None
        reason = found.nulls["windows.0.attribution.requests"]
        assert reason == "arrays_file_missing"
        assert found.windows[1].energy.gross_j == 500.1


@pytest.mark.parametrize(
    ("values", "apart"),
    [
        ([0.5] * 64, True),
        ([None, *range(64)], True),
        ([[1, 2], [], None] * 30, True),
        (["a"] * 63, False),
        ([1, 2.5] * 40, False),
        ([1, "a"] * 40, False),
        ([{"a": 1}, {"b": 1}] * 40, False),
        ([2**70] * 64, False),
        ([{}] * 64, False),
    ],
)
def test_only_what_parquet_gives_back_unchanged_lies_apart(
    sqlite, open_there, values, apart
):
    """An integer stays one, and a key that is missing is not null."""
    store = open_there(sqlite)
    given = cycle().model_copy(update={"native": {"deep": {"values": values}}})
    store.put(report(cycles=[given]))
    assert bool(files(store)) is apart
    (back,) = store.reports(Wanted())
    native = back.experiments[0].cycles[0].native
    assert json.dumps(native) == json.dumps(given.native)


def test_what_is_no_store_is_told_in_one_line(tmp_path, open_there, postgresql):
    """Whether it is missing, another file, or a server without that database."""
    folder, user = postgresql[1:]
    (tmp_path / "text").write_text("not a database, but long enough to be one" * 99)
    nowhere = f"postgresql:///nowhere?host={folder}&user={user}"
    places = {
        "missing.db": "there is no store .*missing.db$",
        "text": "store .*text: file is not a database$",
        nowhere: 'store postgresql:///nowhere.*database "nowhere" does not exist',
    }
    for where, said in places.items():
        with pytest.raises(StoreError, match=said):
            open_there(where if "//" in where else str(tmp_path / where), create=False)
