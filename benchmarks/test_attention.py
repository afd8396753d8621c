"""What the attention kernel costs: the same work, computed in other ways."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.lem(
    backends=["transformers"], input_tokens=256, output_tokens=32, cycles=1
)

GPU = any(Path("/dev").glob("nvidia[0-9]*"))
FLASH = importlib.util.find_spec("flash_attn") is not None


@pytest.mark.parametrize(
    "transformers",
    [
        pytest.param({}, id="default"),
        pytest.param({"attn_implementation": "eager"}, id="eager"),
        pytest.param(
            {"attn_implementation": "flash_attention_2"},
            id="flash_attention_2",
            marks=[
                pytest.mark.skipif(not GPU, reason="needs an NVIDIA GPU"),
                pytest.mark.skipif(not FLASH, reason="needs the flash_attn package"),
            ],
        ),
    ],
)
def test_attention(lem, transformers):
    """Read 256 tokens, where attention weighs most, and decode 32."""
    result = lem()
    assert result.output_throughput_tps > 0


@pytest.mark.lem(backends=["vllm"])
@pytest.mark.parametrize(
    "vllm",
    [
        pytest.param({}, id="default"),
        pytest.param(
            {"attention_config": {"backend": "FLASH_ATTN"}},
            id="flash_attn",
            marks=pytest.mark.skipif(not GPU, reason="needs an NVIDIA GPU"),
        ),
        pytest.param(
            {"attention_config": {"backend": "FLASHINFER"}},
            id="flashinfer",
            marks=[
                pytest.mark.skipif(not GPU, reason="needs an NVIDIA GPU"),
                pytest.mark.skipif(
                    importlib.util.find_spec("flashinfer") is None,
                    reason="needs the flashinfer package",
                ),
            ],
        ),
    ],
)
def test_attention_of_vllm(lem, vllm):
    """The same with vLLM; `effective` of the report says which kernel it was."""
    result = lem()
    assert result.output_throughput_tps > 0


@pytest.mark.lem(backends=["tensorrt"])
@pytest.mark.parametrize(
    "tensorrt",
    [
        pytest.param({}, id="default"),
        pytest.param({"attn_backend": "FLASHINFER"}, id="flashinfer"),
        pytest.param({"attn_backend": "VANILLA"}, id="vanilla"),
    ],
)
def test_attention_of_tensorrt(lem, tensorrt):
    """The same with TensorRT-LLM."""
    result = lem()
    assert result.output_throughput_tps > 0
