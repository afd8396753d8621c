"""What the choice of who shares a batch buys: pads are computed like tokens.

`padding_overhead` of the report is the share of pads in what was computed.
"""

import pytest

LENGTHS = (180, 10, 160, 20, 120, 30, 80, 40)
TEXT = "a watt for a second is a joule, and a token is what it buys. " * 4

# No two begin alike, or a cache of prefixes would save part of the work.
PROMPTS = [TEXT[k:][:length] for k, length in enumerate(LENGTHS)]

pytestmark = pytest.mark.lem(
    backends=["transformers"],
    prompts=PROMPTS,
    requests=8,
    batch_size=4,
    output_tokens=32,
    cycles=1,
)


@pytest.mark.parametrize(
    "transformers",
    [
        pytest.param({}, id="static"),
        pytest.param({"batching": {"strategy": "sorted_static"}}, id="sorted"),
        pytest.param(
            {"batching": {"strategy": "sorted_dynamic", "max_tokens_per_batch": 512}},
            id="sorted_dynamic",
        ),
        pytest.param(
            {
                "continuous_batching": {
                    "enabled": True,
                    "page_size": 32,
                    "num_blocks": 128,
                    "max_batch_tokens": 512,
                    "allow_block_sharing": False,
                }
            },
            id="continuous",
        ),
    ],
)
def test_batching_strategy(lem, transformers):
    """Eight texts of unequal lengths, four at a time."""
    result = lem()
    assert result.output_throughput_tps > 0


@pytest.mark.lem(backends=["vllm"])
@pytest.mark.parametrize(
    "vllm",
    [
        pytest.param({"max_num_seqs": 4}, id="four"),
        pytest.param({"max_num_seqs": 8}, id="all"),
        pytest.param({"max_num_seqs": 8, "max_num_batched_tokens": 128}, id="chunks"),
    ],
)
def test_scheduling(lem, vllm):
    """The same texts, scheduled by vLLM: how many at once, and how much in a step."""
    result = lem()
    assert result.output_throughput_tps > 0


@pytest.mark.lem(backends=["tensorrt"])
@pytest.mark.parametrize(
    "tensorrt",
    [
        pytest.param({"max_batch_size": 4}, id="four"),
        pytest.param({"max_batch_size": 8}, id="all"),
        pytest.param(
            {
                "max_batch_size": 8,
                "max_num_tokens": 128,
                "enable_chunked_prefill": True,
            },
            id="chunks",
        ),
    ],
)
def test_scheduling_of_tensorrt(lem, tensorrt):
    """The same with TensorRT-LLM."""
    result = lem()
    assert result.output_throughput_tps > 0
