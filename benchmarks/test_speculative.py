"""What drafted tokens buy: several at each step, if they are right.

`extended.speculation` of the report has the rate at which they were accepted. Weights
made at random repeat nothing and agree with nobody: for a rate that means something,
give a real model with --lem-model.
"""

import pytest

pytestmark = pytest.mark.lem(
    backends=["transformers", "vllm", "tensorrt"],
    input_tokens=64,
    output_tokens=16,
    cycles=1,
)

PROMPT_LOOKUP = pytest.mark.lem(
    transformers={"prompt_lookup_num_tokens": 4},
    vllm={
        "speculative_config": {
            "method": "ngram",
            "num_speculative_tokens": 4,
            "prompt_lookup_min": 2,
            "prompt_lookup_max": 4,
        }
    },
    tensorrt={
        "speculative_config": {
            "decoding_type": "NGram",
            "max_draft_len": 4,
            "max_matching_ngram_size": 4,
        }
    },
)


@pytest.mark.parametrize(
    "drafts", ["none", pytest.param("prompt_lookup", marks=PROMPT_LOOKUP)]
)
def test_speculative(lem, drafts):
    """One request, alone; what the drafts are is in the marks."""
    result = lem()
    assert result.output_throughput_tps > 0, drafts


@pytest.mark.lem(
    transformers={
        "assistant_model": "synthetic:llama-tiny@1",
        "num_assistant_tokens": 4,
        "num_assistant_tokens_schedule": "constant",
        "assistant_confidence_threshold": 0.0,
    },
    vllm={
        "speculative_config": {
            "method": "draft_model",
            "model": "synthetic:llama-tiny@1",
            "num_speculative_tokens": 4,
        }
    },
    tensorrt={
        "speculative_config": {
            "decoding_type": "Draft_Target",
            "speculative_model": "synthetic:llama-tiny@1",
            "max_draft_len": 4,
        }
    },
)
def test_assisted(lem, request):
    """The same, with a model of the same size as the one that it drafts for."""
    if request.config.getoption("--lem-model"):
        pytest.skip("the assistant has the tokens of the default model alone")
    result = lem()
    assert result.output_throughput_tps > 0
