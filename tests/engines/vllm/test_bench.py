"""`lem export --as vllm` beside vLLM's own function, on the same times."""

import random

import pytest

pytest.importorskip("vllm")

from pytest_lem.analysis.peers import Run, chunks, first_ns, gaps_ns, last_ns
from pytest_lem.analysis.peers.vllm_bench import PERCENTILES, told
from pytest_lem.analysis.requests import Request

LIMITS = {"ttft_ms": 30.0, "tpot_ms": 4.0, "e2e_ms": 100.0}


def served(count):
    """Requests of several lengths, with tokens that come one or two at a time."""
    drawn, requests, due_ns = random.Random(3), [], 10**12
    for _ in range(count):
        due_ns += int(drawn.expovariate(20) * 1e9)
        at_ns, stamps, tokens = due_ns + 10**6, [], drawn.choice([0, 1, 2, 9, 30])
        while len(stamps) < tokens:
            at_ns += drawn.randint(1_000_000, 9_000_000)
            stamps += [at_ns] * min(drawn.choice([1, 2]), tokens - len(stamps))
        requests.append(
            Request(
                input_tokens=drawn.randint(1, 99),
                output_tokens=tokens,
                sent_ns=due_ns,
                ended_ns=at_ns + 1000,
                token_ns=stamps,
            )
        )
    return requests


def test_every_figure_is_the_one_that_vllm_would_have_printed():
    """Of requests of many and of few tokens, single and in chunks, and of none."""
    from vllm.benchmarks.serve import calculate_metrics

    run = Run(requests=served(80), limits=LIMITS)
    ours, _ = told(run)
    theirs, _ = calculate_metrics(
        input_requests=[],
        outputs=[output(one) for one in run.requests],
        dur_s=run.duration_s,
        tokenizer=None,
        selected_percentiles=list(PERCENTILES),
        goodput_config_dict={"ttft": 30.0, "tpot": 4.0, "e2el": 100.0},
    )
    names = [name for name in vars(theirs) if not name.startswith("percentiles_")]
    renamed = {
        "total_input": "total_input_tokens",
        "total_output": "total_output_tokens",
    }
    for name in names:
        assert ours[renamed.get(name, name)] == pytest.approx(getattr(theirs, name))
    for kind in ("ttft", "tpot", "itl", "e2el"):
        for percent, value in getattr(theirs, f"percentiles_{kind}_ms"):
            assert ours[f"p{percent}_{kind}_ms"] == pytest.approx(value)
    assert 0 < ours["request_goodput"] < ours["request_throughput"]
    assert ours["failed"] > 0


def output(request):
    """The request as vLLM's client has it."""
    from vllm.benchmarks.lib.endpoint_request_func import RequestFuncOutput

    return RequestFuncOutput(
        success=bool(chunks(request)),
        latency=last_ns(request) / 1e9,
        output_tokens=request.output_tokens,
        ttft=first_ns(request) / 1e9 if chunks(request) else 0.0,
        itl=[gap / 1e9 for gap in gaps_ns(request)],
        prompt_len=request.input_tokens,
        start_time=request.sent_ns / 1e9,
    )
