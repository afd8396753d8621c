"""One live engine at a time."""

import pytest

from pytest_lem.engines import GenerateOptions
from pytest_lem.errors import GenerationError
from pytest_lem.worker import group
from pytest_lem.worker.pool import EnginePool


@pytest.fixture
def pool(start):
    pool = EnginePool()
    yield pool
    pool.kill()


def test_the_same_key_gets_the_same_engine(pool, start):
    """A usable engine is reused, also for an equal key."""
    first = pool.get(("a", 1), start)
    assert pool.get(("a", 1), start) is first
    assert first.usable


def test_another_key_closes_the_old_engine_first(pool, start):
    """When the new one starts, nothing is left of the old one."""
    first = pool.get("a", start)
    left = []

    def start_after():
        left.append(group.members(first.pid))
        return start()

    second = pool.get("b", start_after)
    assert left == [[]]
    assert second.pid != first.pid
    assert second.usable


def test_a_poisoned_engine_is_replaced(pool, start):
    """After a failure the same key gets a fresh engine."""
    first = pool.get("a", start)
    first.load({"engine": {"fail_at": "generate"}})
    with pytest.raises(GenerationError):
        first.generate([[1]], GenerateOptions(output_tokens=1))
    assert pool.get("a", start) is not first
    assert group.members(first.pid) == []


def test_dropping_gives_the_next_a_fresh_engine(pool, start):
    """`drop` closes; dropping nothing is no error."""
    first = pool.get("a", start)
    pool.drop()
    pool.drop()
    assert group.members(first.pid) == []
    assert pool.get("a", start) is not first


def test_problems_of_a_close_are_gathered(pool, start):
    """A failing unload does not stop the next engine, and is not lost."""
    pool.get("a", start).load({"engine": {"fail_at": "unload", "fail_kind": "error"}})
    assert pool.get("b", start).usable
    assert pool.problems == ["fake, unload: the script fails at unload"]


def test_a_start_that_fails_leaves_the_pool_empty(pool, start):
    """The error reaches the caller, and the next `get` starts anew."""

    def fail():
        raise LookupError

    first = pool.get("a", start)
    with pytest.raises(LookupError):
        pool.get("b", fail)
    assert group.members(first.pid) == []
    assert pool.get("b", start).usable


def test_kill_and_close_leave_nothing(pool, start):
    """Both ends leave no process of the group."""
    first = pool.get("a", start)
    first.load({"engine": {"spawn_child": True}})
    pool.kill()
    assert group.members(first.pid) == []
    second = pool.get("a", start)
    second.load({"engine": {"spawn_child": True}})
    pool.close()
    assert group.members(second.pid) == []
