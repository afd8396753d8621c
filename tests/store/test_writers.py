"""Real processes that write at once, and real kills."""

import time

import pytest

from pytest_lem.store.wanted import Wanted
from tests.store.making import report, writer


@pytest.mark.parametrize(
    ("processes", "each"),
    [(3, 10), pytest.param(8, 1000, marks=pytest.mark.slow)],
)
def test_several_processes_make_a_store_and_write_at_once_and_lose_nothing(
    where, open_there, tmp_path, processes, each
):
    """It is made once; each record is there, whole, with its arrays."""
    said = tmp_path / "said"
    writers = [writer(where, each, f"w{k}", said) for k in range(processes)]
    for one in writers:
        one.join()
    assert [one.exitcode for one in writers] == [0] * processes
    store = open_there(where, create=False)
    found = {one.session: one.key for one in store.find(Wanted())}
    assert sorted(found) == sorted(said.read_text().split())
    assert len(found) == processes * each
    some = list(found.values())[:: max(1, len(found) // 40)]
    for back in store.reports(Wanted(keys=some)):
        rows = back.experiments[0].cycles[0].windows[0].attribution["requests"]
        assert len(rows) == 70


@pytest.mark.parametrize("kills", [2, pytest.param(40, marks=pytest.mark.slow)])
def test_a_writer_that_is_killed_loses_at_most_what_it_was_writing(
    where, open_there, tmp_path, kills
):
    """What it had said is there, every record is whole, and others write on."""
    store, said = open_there(where), tmp_path / "said"
    for k in range(kills):
        one = writer(where, 100_000, f"k{k}", said)
        while not said.exists() or f"k{k}-2\n" not in said.read_text():
            assert one.is_alive()
            time.sleep(0.01)
        time.sleep(0.013 * (k % 7))
        one.kill()
        one.join()
    there = {one.session for one in store.find(Wanted())}
    written = set(said.read_text().split())
    assert written <= there
    assert len(there - written) <= kills
    for back in store.reports(Wanted()):
        (experiment,) = back.experiments
        (cycle,) = experiment.cycles
        assert [len(w.attribution["requests"]) for w in cycle.windows] == [70, 70]
    assert store.put(report("after")).added == 1


def test_a_reader_does_not_wait_for_a_writer(where, open_there):
    """It sees the store as it was before."""
    from pytest_lem.store.database import writing
    from pytest_lem.store.tables import records

    store = open_there(where)
    store.put(report())
    with writing(store._engine) as connection:
        connection.execute(records.delete())
        assert len(open_there(where).find(Wanted())) == 1
    assert store.find(Wanted()) == []
