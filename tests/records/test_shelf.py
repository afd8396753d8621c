"""Cycles are held while they are needed, and read back from the journal after."""

import pytest

from pytest_lem.errors import StoreError
from pytest_lem.records import shelf as rooms
from pytest_lem.records.journal import Journal
from pytest_lem.records.shelf import Shelf


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """One with room for no more than the experiment last asked for."""
    monkeypatch.setattr(rooms, "ROOM_BYTES", 0)
    return Shelf(Journal(tmp_path))


@pytest.fixture
def filled(shelf, make_cycle):
    """Three cycles of each of three experiments, pass by pass."""
    some = [make_cycle(k, energy_gross_j=k / 3) for k in range(3)]
    cycles = dict.fromkeys("abc", some)
    for k in range(3):
        for name, some in cycles.items():
            shelf.put(name, "0123456789abcdef", some[k])
    return cycles


def test_cycles_come_back_as_they_went_in(shelf, filled):
    """Wherever they are, in the order they were put in."""
    assert list(shelf) == ["a", "b", "c"]
    assert len(shelf) == 3
    assert {name: shelf[name] for name in shelf} == filled
    assert [len(shelf.hashes(name)) for name in "abcd"] == [3, 3, 3, 0]
    with pytest.raises(KeyError):
        shelf["d"]


def test_of_many_experiments_few_are_in_memory(tmp_path, monkeypatch, make_cycle):
    """As many as there is room for; the one in use is, however large it is."""
    monkeypatch.setattr(rooms, "ROOM_BYTES", 50_000)
    shelf = Shelf(Journal(tmp_path))
    bulky = make_cycle(native={"text": "x" * 10_000})
    for k in range(20):
        shelf.put(f"t[{k}]", "f00", bulky.model_copy(update={"index": k}))
    first = shelf["t[0]"]
    assert shelf["t[0]"] is first
    for k in range(1, 8):
        assert shelf[f"t[{k}]"][0].index == k
    assert shelf["t[7]"] is shelf["t[7]"]
    assert shelf["t[0]"] is not first
    assert shelf["t[0]"] == first
    for _ in range(10):
        shelf.put("t[0]", "f00", bulky)
    assert shelf["t[0]"] is shelf["t[0]"]
    assert len(shelf["t[0]"]) == 11


def test_a_journal_that_was_put_in_order_is_read_all_the_same(shelf, filled, tmp_path):
    """Lines are known by what they are, and found again where they have moved."""
    wanted = {one for name in "bc" for one in shelf.hashes(name)}
    Journal(tmp_path).keep(wanted)
    again = Shelf(Journal(tmp_path))
    again.restore({name: shelf.hashes(name) for name in "cb"})
    for one in (shelf, again):
        assert {name: one[name] for name in "bc"} == {k: filled[k] for k in "bc"}
    assert list(again) == ["c", "b"]


def test_what_is_dropped_may_be_measured_anew(shelf, filled, make_cycle):
    """It begins behind the others then."""
    shelf.drop("a")
    assert "a" not in shelf
    assert [*shelf.hashes("a")] == []
    shelf.put("a", "f00", make_cycle(7))
    assert shelf["b"] == filled["b"]
    assert [one.index for one in shelf["a"]] == [7]
    assert list(shelf) == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(path.read_bytes()[5000:]), "a line is gone"),
        (lambda path: path.write_text(path.read_text().replace("t", "T")), "not as it"),
    ],
    ids=["deleted", "cut", "changed"],
)
def test_a_journal_that_cannot_be_read_is_named(shelf, filled, spoil, said, tmp_path):
    """What is held still is there."""
    spoil(tmp_path / "cycles.jsonl")
    assert shelf["c"] == filled["c"]
    with pytest.raises(StoreError, match=said) as error:
        shelf["a"]
    assert str(tmp_path / "cycles.jsonl") in error.value.message
    assert "a" in shelf
