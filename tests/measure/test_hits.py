"""A hit rate that a test asserts: told by the engine, and high enough."""

import pytest

from pytest_lem.errors import ConfigError, GenerationError

ODD = """
class Odd(FakeEngine):
    def collect(self, *args):
        told = FakeEngine.collect(self, *args)
        scheduler = {"prefix_cache_queries": 200, "prefix_cache_hits": 150}
        return {**told, "native": {**told["native"], "scheduler": scheduler}}
"""


def test_a_cycle_that_found_too_little_fails(make_lab, odd_engine, experiment, measure):
    """By the tokens of its energy windows together; what is enough passes."""
    lab = make_lab(engine=odd_engine(ODD))
    assert measure(lab, experiment(least_hit_rate=0.75)).status == "complete"
    with pytest.raises(GenerationError, match=r"0.7500 of the prompt tokens .*=0.76"):
        measure(lab, experiment(least_hit_rate=0.76))


def test_an_engine_that_does_not_tell_proves_nothing(make_lab, experiment, measure):
    """Silence is no hit."""
    with pytest.raises(ConfigError, match="fake does not tell what it found"):
        measure(make_lab(), experiment(least_hit_rate=0.1))
