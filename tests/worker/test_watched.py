"""Passes that an engine watches itself: its FLOP counter and its profiler."""

import json
import math

import pytest

from pytest_lem.analysis.flops import Work
from pytest_lem.engines import GenerateOptions
from pytest_lem.errors import OutOfMemory, WorkerDied

OPTIONS = GenerateOptions(output_tokens=2, batch_size=2)

COUNTS = """
import time
class Odd(FakeEngine):
    def count_flops(self, batches, options, *, until_s):
        if options.output_tokens == 9:
            raise MemoryError("full")
        sizes = [len(batch.prompts) for batch in batches]
        left_s = until_s - time.monotonic()
        work = [(size, 0, 1, options.output_tokens) for size in sizes]
        native = {"prefill": 6, "decode": 4, "kv_cache_mb": None, "left_s": left_s}
        return {**native, "work": work}
    def profile(self, batches, options, path):
        path.write_text("{}")
        return {"path": str(path), "flops": len(batches)}
"""


@pytest.fixture
def counting(start, engine_module):
    """A loaded engine that can watch itself."""
    client = start(engine_module(COUNTS))
    client.load({})
    return client


def test_a_count_brings_operations_and_the_work_they_are_for(counting):
    """Of the prompts in batches, within the limit given."""
    found = counting.count_flops([[1], [2], [3]], OPTIONS, limit_s=7)
    assert found["work"] == [Work(2, 0, 1, 2), Work(1, 0, 1, 2)]
    assert (found["prefill"], found["decode"]) == (6, 4)
    assert 6 < found["left_s"] < 7


def test_a_count_that_fails_has_a_kind_and_ends_the_engines_use(counting):
    """What a failed pass leaves behind would enter the next measurement."""
    options = GenerateOptions(output_tokens=9)
    with pytest.raises(OutOfMemory, match="count_flops: MemoryError: full"):
        counting.count_flops([[1]], options, limit_s=7)
    with pytest.raises(WorkerDied, match="not used again"):
        counting.count_flops([[1]], OPTIONS, limit_s=7)


def test_a_profile_is_a_file_and_what_it_found(counting, tmp_path):
    """The engine writes it where it is told to."""
    path = tmp_path / "profile.json"
    found = counting.profile([[1], [2], [3]], OPTIONS, path)
    assert found == {"path": str(path), "flops": 2}
    assert json.loads(path.read_text()) == {}


def test_an_engine_without_counter_or_profiler_says_so(start, tmp_path):
    """It is no failure, and the engine goes on."""
    client = start()
    client.load({})
    assert client.count_flops([[1]], OPTIONS, limit_s=7) is None
    assert client.profile([[1]], OPTIONS, tmp_path / "profile.json") is None
    assert client.usable


def test_likelihoods_come_row_by_row_also_those_of_nothing(start, engine_module):
    """JSON has no infinity, so it travels as null; an engine may not tell at all."""
    body = """
class Odd(FakeEngine):
    def log_probabilities(self, rows):
        return [[-1.5, float("-inf")] if len(row) == 3 else [] for row in rows]
"""
    client = start(engine_module(body))
    client.load({})
    assert client.log_probabilities([[1, 2, 3], [4]]) == [[-1.5, -math.inf], []]
    silent = "class Odd(FakeEngine):\n    log_probabilities = None\n"
    other = start(engine_module(silent, name="silent_engine"))
    other.load({})
    assert other.log_probabilities([[1, 2, 3]]) is None
