"""Requests with priorities on the real vLLM: which of those that wait is next."""

import pytest

pytest.importorskip("vllm")

ONE_AT_A_TIME = {"scheduling_policy": "priority", "max_num_seqs": 1}


def order(times):
    """The places of the requests, the soonest first."""
    return sorted(range(len(times)), key=times.__getitem__)


@pytest.mark.proves("vllm.scheduling_policy", "vllm.request_priorities")
def test_requests_run_in_the_order_of_their_priorities(start, ask, rows, bare):
    """Two in turn for four requests; those of one priority as they came."""
    engine, _ = start(**ONE_AT_A_TIME, request_priorities=[5, -1])
    prompts = rows(5, 6, 7, 8)
    timed = ask(engine, prompts, count=4, batch_size=4, stamps=True)
    assert order([one.token_ns[0] for one in timed["completions"]]) == [1, 3, 0, 2]
    got = ask(engine, prompts, count=4, batch_size=4)
    assert order(got["native"]["request_times_ms"]["queue"]) == [1, 3, 0, 2]
    assert [one.output_ids for one in got["completions"]] == [
        bare(row, 4) for row in prompts
    ]


def test_streams_run_in_the_order_of_their_priorities(start, ask, rows):
    """Those that wait while the first, which found nothing to wait for, runs."""
    served = {"in_process": False, "streams": True}
    engine, loaded = start(**ONE_AT_A_TIME, **served, request_priorities=[0, 7, 3])
    assert loaded.effective["entry_point"] == "AsyncLLM"
    got = ask(engine, rows(5, 6, 7), count=40, batch_size=3, stamps=True)
    assert order([one.token_ns[0] for one in got["completions"]]) == [0, 2, 1]
