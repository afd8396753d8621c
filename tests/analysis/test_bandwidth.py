"""Tokens that memory is too slow for."""

import pytest

from pytest_lem.analysis.bandwidth import (
    Memory,
    least_steps,
    speculates,
    too_fast,
    weight_bytes,
)

# Llama 3.2 1B: 1.236e9 parameters, 2.47 GB in bfloat16, its embedding read as its head.
SHAPE = {
    "layers": 16,
    "hidden_size": 2048,
    "attention_heads": 32,
    "key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 8192,
    "gated_mlp": True,
    "vocab_size": 128256,
    "tied_embeddings": True,
    "dtype": "bfloat16",
}
H100 = Memory(weight_bytes=2.47e9, peak_bytes_per_s=3.35e12)


def test_a_step_reads_the_matrices_of_layers_and_head():
    """Within a thousandth all parameters of this model; less where less is held."""
    assert weight_bytes(SHAPE, None) == pytest.approx(2.4715e9, rel=1e-3)
    assert weight_bytes(SHAPE, 2100.0) == 2.1e9


@pytest.mark.parametrize(
    ("changed", "held_mb"),
    [
        ({"no_closed_form": "mixture_of_experts"}, None),
        ({"layers": None}, None),
        ({"dtype": "float8_e4m3fn"}, None),
        ({"layers": 2}, None),
        ({}, 600.0),
        ({"decode_weights_mb": None}, None),
    ],
    ids=["experts", "unknown shape", "unknown precision", "small", "4 bit", "packed"],
)
def test_what_is_not_certain_is_not_told(changed, held_mb):
    """Experts are read in part, and a small model from a cache."""
    assert weight_bytes({**SHAPE, **changed}, held_mb) is None


@pytest.mark.parametrize(
    ("requests", "steps"),
    [
        ([(0, 10, 5), (0, 10, 7), (10, 20, 3)], 10),
        ([(0, 10, 5), (4, 14, 7)], 7),
        ([(0, 10, 5), (20, 30, 5)], 10),
        ([], 0),
    ],
    ids=["two batches", "overlapping", "one by one", "none"],
)
def test_a_batch_shares_its_steps(requests, steps):
    """Batches one after another add theirs up; what overlaps may share them."""
    assert least_steps(requests) == steps


def test_faster_than_memory_cannot_be():
    """An H100 reads 2.47 GB at most 1356 times a second, and 10 % of doubt."""
    assert list(too_fast("window 0", 1400, 1.0, H100)) == []
    (line,) = too_fast("window 0", 1600, 1.0, H100)
    assert line.startswith("bandwidth: window 0: 1600 steps in 1 s")
    assert line.endswith("which is 3952 GB/s, and the memory gives 3350 GB/s")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"engine": {"assistant_model": "x"}}, True),
        ({"engine": {"speculative_config": {"num": 3}}}, True),
        ({"decoder": {"prompt_lookup_num_tokens": 10}}, True),
        ({"lookup": None, "draft": 0, "engine": {"device": "cuda"}}, False),
    ],
)
def test_speculation_is_found_by_the_name_of_its_setting(asked, found):
    """Several tokens of one reading of the weights are possible then."""
    assert speculates(asked) is found
