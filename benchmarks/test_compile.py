"""What compiling buys: fewer, larger kernels, paid for once in the warm-up."""

import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.lem(
    backends=["transformers"], input_tokens=64, output_tokens=64, cycles=1
)

GPU = any(Path("/dev").glob("nvidia[0-9]*"))
COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")


@pytest.mark.parametrize(
    "transformers",
    [
        pytest.param({}, id="eager"),
        pytest.param(
            {"torch_compile": True},
            id="compiled",
            marks=pytest.mark.skipif(
                not (GPU or COMPILER), reason="needs a C++ compiler without a GPU"
            ),
        ),
        pytest.param(
            {"torch_compile": "reduce-overhead", "cache_implementation": "static"},
            id="graphs",
            marks=pytest.mark.skipif(not GPU, reason="CUDA graphs need an NVIDIA GPU"),
        ),
    ],
)
def test_compile(lem, transformers):
    """Decode 64 tokens at batch 1, where launching kernels weighs most."""
    result = lem()
    assert result.output_throughput_tps > 0


@pytest.mark.lem(backends=["vllm"])
@pytest.mark.parametrize(
    "vllm",
    [
        pytest.param({"enforce_eager": True}, id="eager"),
        pytest.param(
            {"compilation_config": {"cudagraph_mode": "NONE"}},
            id="compiled",
            marks=pytest.mark.skipif(
                not (GPU or COMPILER), reason="needs a C++ compiler without a GPU"
            ),
        ),
        pytest.param(
            {},
            id="graphs",
            marks=pytest.mark.skipif(not GPU, reason="CUDA graphs need an NVIDIA GPU"),
        ),
    ],
)
def test_compile_of_vllm(lem, vllm):
    """The same with vLLM, which compiles while it loads unless told otherwise."""
    result = lem()
    assert result.output_throughput_tps > 0


@pytest.mark.lem(backends=["tensorrt"])
@pytest.mark.parametrize(
    "tensorrt",
    [
        pytest.param({"extra": {"engine": {"cuda_graph_config": None}}}, id="eager"),
        pytest.param({}, id="graphs"),
        pytest.param({"torch_compile_config": {}}, id="compiled"),
    ],
)
def test_compile_of_tensorrt(lem, tensorrt):
    """The same with TensorRT-LLM, which has CUDA graphs unless told otherwise."""
    result = lem()
    assert result.output_throughput_tps > 0
