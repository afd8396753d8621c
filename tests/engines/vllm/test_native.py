"""What the real vLLM tells of its passes: cache, queue, drafts, operations."""

import pytest

pytest.importorskip("vllm")

from pytest_lem.engines.vllm.native import spare


@pytest.fixture(scope="module")
def counting(start):
    """An engine that estimates its operations and is asked for a prefix cache."""
    return start(max_num_seqs=4, enable_mfu_metrics=True, enable_prefix_caching=True)


def test_our_closed_form_is_their_own_count(counting, ask, rows):
    """Exactly: mixed lengths, a queue, and prompt tokens that the cache had."""
    engine, _ = counting
    prompts = rows(40, 70, 9, 64, 5, 33)
    for cached in (0, 96):  # whole blocks of 32, without a prompt's last token
        got = ask(engine, prompts, count=6, batch_size=6)
        told = got["native"]["mfu_metrics"]
        found = got["native"]["cached_prompt_tokens"]
        assert found > 0 if cached else found == 0
        assert told["closed_form_flops"] == told["flops_per_gpu"] > 0
        assert (told["difference_pct"], told["reason"]) == (0.0, None)
        assert told["read_bytes_per_gpu"] > told["write_bytes_per_gpu"] > 0


def test_the_cache_is_read_while_it_is_used(counting, ask, rows):
    """Afterwards it would be 0; capacity is that of all blocks."""
    engine, loaded = counting
    got = ask(engine, rows(91, 92, 93, 94), count=8, batch_size=4)
    told = got["native"]["scheduler"]
    blocks = loaded.effective["kv_cache_blocks"]
    assert told["kv_cache_capacity_tokens"] == 32 * blocks
    assert told["kv_cache_peak_pct"] == pytest.approx(100 * 16 / (blocks - 1))
    pool_mb = loaded.memory["kv_cache_pool_mb"]
    assert got["memory"]["kv_cache_read_mb"] == pytest.approx(pool_mb * 16 / blocks)
    assert (told["running_max"], told["preemptions"]) == (4, 0)
    assert told["prefix_cache_queries"] == 91 + 92 + 93 + 94
    assert told["nulls"] == {"cuda_graph_steps": "needs_vllm.cudagraph_metrics"}


def test_a_peak_that_no_step_showed_is_null(counting, ask, rows):
    """Requests of one token give their blocks back in the step that took them."""
    told = ask(counting[0], rows(40), count=1)["native"]["scheduler"]
    assert told["kv_cache_peak_pct"] is None
    assert told["nulls"]["kv_cache_peak_pct"] == "given_back_within_a_step"


def test_statistics_of_ends_tell_what_those_of_each_token_do(counting, ask, rows):
    """Requests that wait, and those that run: counts and times of each."""
    told = []
    for each_token in (True, False):
        spare(each_token=each_token)
        prompts = rows(9, 12, 7, 8, 10, 11)
        told.append(ask(counting[0], prompts, count=6, batch_size=6)["native"])
    of_each, of_ends = told
    assert of_ends["scheduler"] == of_each["scheduler"]
    assert of_ends["scheduler"]["generation_tokens"] == 36
    queue, prefill, decode = of_ends["request_times_ms"].values()
    assert min(queue[4:]) > max(queue[:4])
    assert all(one > 0 for one in (*prefill, *decode))


def test_requests_that_were_begun_again_are_flagged(start, ask, rows):
    """With room for fewer than run at once; what they computed is then not known."""
    engine, _ = start(num_gpu_blocks_override=8, max_model_len=128)
    got = ask(engine, rows(60, 61, 62), count=60, batch_size=3)
    assert got["native"]["scheduler"]["preemptions"] > 0
    assert "preempted" in got["native"]["flags"]
    assert got["work"] is None
