"""A pass of the real vLLM: tokens, lengths, the cache, the work, the failures."""

import pytest

pytest.importorskip("vllm")

from pytest_lem.analysis.flops import Work
from pytest_lem.errors import ConfigError


def tokens(got):
    return [one.output_ids for one in got["completions"]]


def test_the_tokens_are_those_of_transformers(engine, ask, rows, bare):
    """Greedy, of forced length, in the order of the prompts, whatever their lengths."""
    prompts = rows(5, 40, 17, 3, 64, 9)
    got = ask(engine, prompts, count=12)
    assert tokens(got) == [bare(row, 12) for row in prompts]
    assert [one.input_tokens for one in got["completions"]] == [5, 40, 17, 3, 64, 9]
    assert {one.finish_reason for one in got["completions"]} == {"length"}
    assert got["batches"] == [6]
    assert got["padding_tokens"] == 0


def test_what_is_sent_is_told(engine, ask, rows):
    """The record has the sampling that vLLM got; greedy is a temperature of 0."""
    sent = ask(engine, rows(4), count=3)["native"]["sampling"]
    wanted = {"temperature": 0.0, "max_tokens": 3, "min_tokens": 3, "ignore_eos": True}
    assert {key: sent[key] for key in wanted} == wanted


def test_prompts_are_computed_again_in_each_pass(engine, ask, rows):
    """The prefix cache is emptied before a pass; within one a hit is flagged."""
    prompts = rows(96)
    for _ in range(2):
        told = ask(engine, prompts, count=2)["native"]
        assert told["cached_prompt_tokens"] == 0
        assert "prefix_cache_hits" not in told["flags"]
    told = ask(engine, prompts * 6, count=2, batch_size=4)["native"]
    assert told["cached_prompt_tokens"] > 0
    assert "prefix_cache_hits" in told["flags"]


def test_more_requests_at_once_than_there_is_room_for_are_flagged(engine, ask, rows):
    """`max_num_seqs` was given: `batch_size` is only a hint."""
    prompts = rows(3, 4, 5, 6, 7)
    assert "batch_size_limited" in ask(engine, prompts, batch_size=5)["native"]["flags"]
    told = ask(engine, prompts, batch_size=4)["native"]
    assert "batch_size_limited" not in told["flags"]


def test_forward_calls_are_told(engine, ask, rows):
    """Those of requests that run at once share their steps; alike they are one."""
    got = ask(engine, rows(8, 8, 8, 8, 8, 8), count=5)
    assert got["work"] == [
        Work(rows=4, cached=0, new=8, steps=5),
        Work(rows=2, cached=0, new=8, steps=5),
    ]
    assert ask(engine, rows(8, 9), count=5)["work"] == [
        Work(rows=1, cached=0, new=8, steps=5),
        Work(rows=1, cached=0, new=9, steps=5, cache="shared"),
    ]


@pytest.mark.parametrize(
    ("prompts", "changes", "told"),
    [
        ([[]], {}, "prompt 0 has no tokens"),
        ([[1] * 4090], {"count": 9}, "that is 4099: vllm.max_model_len is 4096"),
        ([[1]], {"decoder": {"top_z": 1}}, "key 'decoder.top_z' is unknown"),
        ([[1]], {"stamps": True, "decoder": {"num_beams": 2}}, "token times need one"),
    ],
)
def test_what_cannot_be_asked_is_told_before_the_window(
    engine, ask, prompts, changes, told
):
    """In one line, without starting the pass."""
    with pytest.raises(ConfigError, match=told):
        ask(engine, prompts, **{"count": 2, **changes})


def test_texts_become_tokens_and_back(engine):
    """By the model's own tokenizer, without the special tokens."""
    (ids,) = engine.tokenize(["hello there"])
    assert engine.detokenize([ids]) == ["hello there"]
