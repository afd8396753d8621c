"""Pages of records, in databases of both kinds."""

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.store.wanted import Wanted
from tests.store.making import SPEED, cycle, report


@pytest.fixture
def filled(store):
    """Five sessions of one experiment, and one of another on another day."""
    for k in range(5):
        ran = [cycle(0, day=f"2026-01-0{k + 1}", speed=float(k // 2))]
        store.put(report(f"s{k}", cycles=ran, day=f"2026-01-0{k + 1}"))
    odd = ["t.py::Test_50%[A]"]
    store.put(report("odd", odd, day="2026-01-09", gpu="GPU Y", identity="ab" * 8))
    return store


def paged(store, sort):
    """All records, two at a time."""
    after, found = None, []
    while True:
        page = store.page(Wanted(limit=2), [SPEED], sort=sort, after=after)
        assert (page.count, page.uncounted) == (6, False)
        found += page.records
        if (after := page.after) is None:
            return found


def test_pages_follow_each_other_and_count_all(filled):
    """Also where many have the value that they are sorted by."""
    for sort in ("-started_at", "experiment_id", SPEED, f"-{SPEED}"):
        found = paged(filled, sort)
        assert found == filled.page(Wanted(), [SPEED], sort=sort).records
        assert len(found) == 6
        if sort.endswith(SPEED):
            values = [one.metrics[SPEED].value for one in found]
            assert values == sorted(values, reverse=sort.startswith("-"))


def test_words_and_facts_narrow_a_list(filled):
    """Letters of either case; what else stands for any letter stands for itself."""
    words = {
        "TEST_50%[a]": 1,
        "FAKE t.py ODD": 1,
        "ABAB": 1,
        "llama": 6,
        "t%": 0,
        "test_50%_": 0,
        "/": 0,
    }
    for text, count in words.items():
        assert filled.page(Wanted(text=text)).count == count, text
    facts = (
        ({"gpu": "GPU Y"}, 1),
        ({"gpu": "GPU X", "flag": "few_cycles"}, 5),
        ({"flag": "few"}, 0),
        ({"session": "s3"}, 1),
        ({"verdict": "pass"}, 0),
    )
    for wanted, count in facts:
        assert filled.page(Wanted(**wanted)).count == count, wanted


def test_what_there_is_to_choose_by(filled):
    """Each value once, in order."""
    filled.label([filled.find(Wanted(limit=1))[0].key], "main")
    found = filled.choices()
    assert list(found.gpus) == ["GPU X", "GPU Y"]
    assert list(found.labels) == ["main"]
    assert "few_cycles" in found.flags
    assert list(found.verdicts) == []


def test_what_no_list_is_sorted_by_is_told(store):
    """With what would be; so is a place of another list."""
    with pytest.raises(ConfigError, match="order 'begun' is unknown"):
        store.page(Wanted(), sort="begun")
    with pytest.raises(ConfigError, match="'x' is no place in a list"):
        store.page(Wanted(), after="x")
