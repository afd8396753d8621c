"""What smaller weights buy: less memory, and at small batches seldom less energy."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.lem(
    backends=["transformers"], input_tokens=64, output_tokens=32, cycles=1
)

GPU = pytest.mark.skipif(
    not any(Path("/dev").glob("nvidia[0-9]*")), reason="needs an NVIDIA GPU"
)
NEEDED = [
    GPU,
    pytest.mark.skipif(
        importlib.util.find_spec("bitsandbytes") is None,
        reason="needs the bitsandbytes package",
    ),
]


@pytest.mark.parametrize(
    "transformers",
    [
        pytest.param({}, id="unquantised"),
        pytest.param(
            {"quantization_config": {"load_in_8bit": True}}, id="int8", marks=NEEDED
        ),
        pytest.param(
            {
                "quantization_config": {
                    "load_in_4bit": True,
                    "bnb_4bit_quant_type": "nf4",
                    "bnb_4bit_compute_dtype": "bfloat16",
                }
            },
            id="nf4",
            marks=NEEDED,
        ),
    ],
)
def test_quantisation(lem, transformers):
    """Decode the same work with weights of 16, 8 and 4 bits."""
    result = lem()
    assert result.output_throughput_tps > 0


@pytest.mark.lem(backends=["vllm"], precision="bfloat16")
@pytest.mark.parametrize(
    "vllm",
    [
        pytest.param({}, id="unquantised"),
        pytest.param({"quantization": "fp8_per_channel"}, id="fp8_per_channel"),
        pytest.param({"quantization": "fp8"}, id="fp8", marks=GPU),
        pytest.param({"kv_cache_dtype": "fp8"}, id="fp8_cache"),
    ],
)
def test_quantised_while_loading(lem, vllm):
    """The same work with weights, or a cache, of 16 and 8 bits."""
    result = lem()
    assert result.output_throughput_tps > 0


@pytest.mark.lem(backends=["tensorrt"], precision="bfloat16")
@pytest.mark.parametrize(
    "tensorrt",
    [
        pytest.param({}, id="unquantised"),
        pytest.param({"kv_cache_config": {"dtype": "fp8"}}, id="fp8_cache"),
    ],
)
def test_cache_of_tensorrt(lem, tensorrt):
    """The same work with a cache of 16 and 8 bits; weights come from checkpoints."""
    result = lem()
    assert result.output_throughput_tps > 0
