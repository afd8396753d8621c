"""Operations and bytes by the closed form."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.analysis.architecture import Architecture
from pytest_lem.analysis.flops import (
    Work,
    by_parameters,
    closed_form,
    decode_bytes,
    kv_cache_bytes,
    longest_context,
)

SHAPE = Architecture(
    layers=1,
    hidden_size=10,
    attention_heads=2,
    key_value_heads=1,
    head_dim=5,
    intermediate_size=20,
    gated_mlp=True,
    vocab_size=100,
    tied_embeddings=False,
)
# q and o 10 x 10 each, k and v 10 x 5 each, three matrices of 10 x 20.
LINEAR, HEAD, QUERY = 900, 1000, 10


def test_weights_are_counted_by_kind():
    """Grouped heads make keys and values narrower; a gate is a third matrix."""
    assert (SHAPE.linear_parameters, SHAPE.head_parameters) == (LINEAR, HEAD)
    assert replace(SHAPE, gated_mlp=False).linear_parameters == LINEAR - 200


def test_a_prefill_and_its_steps_by_hand():
    """Two rows of 3 tokens, 3 sampled each: calls of 3, 1 and 1 new tokens."""
    found = closed_form(SHAPE, [Work(rows=2, cached=0, new=3, steps=3)])
    prefill = 2 * LINEAR * 3 + 2 * HEAD + 4 * QUERY * 3 * 3
    decode = 2 * (2 * LINEAR + 2 * HEAD) + 4 * QUERY * (4 + 5)
    assert (found.prefill, found.decode) == (2 * prefill, 2 * decode)
    assert found.total == 2 * (prefill + decode)


def test_cached_tokens_are_attended_to_and_not_computed():
    """A prefix in the cache lengthens the context alone."""
    found = closed_form(SHAPE, [Work(rows=1, cached=7, new=3, steps=1)])
    assert found.prefill == 2 * LINEAR * 3 + 2 * HEAD + 4 * QUERY * 3 * 10
    assert found.decode == 0


def test_work_adds_up():
    """Batches are counted one by one."""
    one, two = Work(1, 0, 4, 2), Work(3, 0, 5, 6)
    both = closed_form(SHAPE, [one, two])
    parts = [closed_form(SHAPE, [work]).total for work in (one, two)]
    assert both.total == sum(parts)


def test_by_parameters_is_two_for_each_parameter_and_token():
    """Tokens computed: 3 + 2 in each of two rows."""
    found = by_parameters(7, [Work(rows=2, cached=9, new=3, steps=3)])
    assert (found.prefill, found.decode) == (2 * 7 * 6, 2 * 7 * 4)


def test_the_cache_holds_every_token_but_the_last():
    """Of the largest batch, keys and values of the one head of width 5."""
    works = [Work(1, 0, 3, 3), Work(2, 1, 3, 3)]
    assert kv_cache_bytes(SHAPE, works, 2) == 2 * (1 + 3 + 2) * (2 * 5) * 2
    assert kv_cache_bytes(SHAPE, [], 2) == 0
    assert longest_context(works) == 6


def test_without_a_cache_none_is_held_or_read():
    """Every call reads the weights, and computes what it needs of the context anew."""
    work = Work(2, 0, 3, 3, cache="none")
    assert kv_cache_bytes(SHAPE, [work], 2) == 0
    assert decode_bytes(SHAPE, [work], weight_bytes=9.0, element_bytes=2) == 2 * 9
    assert by_parameters(7, [work]).decode == 2 * 7 * 2 * (4 + 5)


def test_a_cache_beside_another_is_held_with_it():
    """The two of one batch, and not those of the next."""
    works = [Work(1, 0, 3, 3), Work(1, 0, 1, 3, cache="beside"), Work(1, 0, 4, 3)]
    assert kv_cache_bytes(SHAPE, works, 1) == (5 + 3) * (2 * 5)


@given(
    work=st.builds(
        Work,
        rows=st.integers(1, 5),
        cached=st.integers(0, 50),
        new=st.integers(1, 50),
        steps=st.integers(1, 20),
        cache=st.sampled_from(["own", "none", "beside", "shared"]),
    )
)
def test_the_form_is_the_sum_over_forward_calls_one_by_one(work):
    """Whatever the lengths: each call by itself, with the context after it."""
    rows, cached, new, steps, cache = work
    calls = [(new, cached + new)]
    later = [cached + new + k for k in range(1, steps)]
    calls += [(ctx if cache == "none" else 1, ctx) for ctx in later]
    each = [2 * LINEAR * n + 2 * HEAD + 4 * QUERY * n * ctx for n, ctx in calls]
    found = closed_form(SHAPE, [work])
    assert (found.prefill, found.total) == (rows * each[0], rows * sum(each))


@pytest.mark.parametrize("rows", [1, 4])
def test_rows_share_the_weights_that_a_step_reads(rows):
    """The cache is read for each row."""
    read = decode_bytes(
        SHAPE, [Work(rows, 0, 3, 3)], weight_bytes=1000.0, element_bytes=2
    )
    assert read == 2 * 1000 + rows * (4 + 5) * 10 * 2


def test_requests_that_share_their_steps_read_the_weights_once():
    """As often as the longest has later calls; each keeps a cache of its own."""
    works = [
        Work(1, 0, 3, 3),
        Work(1, 0, 1, 5, cache="shared"),
        Work(1, 0, 3, 2, cache="shared"),
        Work(1, 0, 9, 2),
    ]
    assert kv_cache_bytes(SHAPE, works, 1) == (5 + 5 + 4) * (2 * 5)
    assert decode_bytes(SHAPE, works, weight_bytes=9.0, element_bytes=0) == 9 * (4 + 1)
