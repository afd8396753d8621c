"""How prompts are put into batches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.errors import ConfigError
from pytest_lem.workload.batching import layout

LENGTHS = [3, 11, 7, 20, 5]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("static", [[0, 1], [2, 3], [4]]),
        ("sorted_static", [[3, 1], [2, 4], [0]]),
        ("dynamic", [[0, 1], [2], [3], [4]]),
        ("sorted_dynamic", [[3], [1, 2], [4, 0]]),
    ],
)
def test_a_strategy_decides_who_goes_together(strategy, expected):
    """By number, by tokens, and either after sorting by length."""
    assert layout(LENGTHS, size=2, strategy=strategy, max_tokens=22) == expected


@given(
    st.lists(st.integers(1, 50), min_size=1),
    st.integers(1, 8),
    st.sampled_from(["static", "sorted_static", "dynamic", "sorted_dynamic"]),
)
def test_every_prompt_is_in_one_batch_within_the_limits(lengths, size, strategy):
    """Whatever the lengths are."""
    batches = layout(lengths, size=size, strategy=strategy, max_tokens=60)
    assert sorted(place for batch in batches for place in batch) == [
        *range(len(lengths))
    ]
    assert all(1 <= len(batch) <= size for batch in batches)
    if strategy.endswith("dynamic"):
        padded = [max(lengths[k] for k in batch) * len(batch) for batch in batches]
        assert max(padded) <= 60


def test_a_prompt_above_the_limit_is_refused_by_its_place():
    """It fits no batch at all."""
    with pytest.raises(ConfigError, match="prompt 3 has 20 tokens"):
        layout(LENGTHS, size=2, strategy="dynamic", max_tokens=19)
