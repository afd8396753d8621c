"""GPUs that TensorRT-LLM cannot use, or not so, are told before anything is loaded."""

import pytest

from pytest_lem.errors import (
    ConfigError,
    EngineNotAvailable,
    HardwareError,
)

FP8 = {"kv_cache_config": {"dtype": "fp8"}}


@pytest.mark.parametrize(
    ("capability", "section", "told"),
    [
        ((7, 5), {}, r"compute capability 8\.0, and GPU 0 has 7\.5; .* V100 .* T4"),
        (
            (8, 0),
            FP8,
            r"kv_cache_config\.dtype='fp8' needs .* 8\.9, and GPU 0 has 8\.0",
        ),
        (
            (8, 6),
            {"quantization": {"method": "fp8"}},
            r"quantization\.method='fp8' needs .*; say int8_weight_only",
        ),
        ((8, 6), {"kv_cache_quant_algo": "FP8"}, r"kv_cache_quant_algo='FP8' .* INT8"),
        ((9, 0), {"kv_cache_config": {"dtype": "nvfp4"}}, r"'nvfp4' needs .* 10\.0"),
    ],
)
def test_what_a_gpu_cannot_do_is_refused(start, gpus, capability, section, told):
    """In one line that names the GPU's capability and what to say instead."""
    gpus(capability)
    with pytest.raises(HardwareError, match=told) as error:
        start(**section)
    assert "\n" not in error.value.message


def test_what_it_can_do_is_not_refused(start, gpus):
    """8.0 is enough for itself, 8.9 for FP8."""
    gpus((8, 0))
    start()
    gpus((8, 9))
    start(**FP8)


def test_a_run_without_a_gpu_is_told_so(start, gpus):
    """There is no TensorRT-LLM for CPUs."""
    gpus()
    with pytest.raises(HardwareError, match="needs an NVIDIA GPU, and this run has no"):
        start()


def test_gpus_left_over_are_flagged(start, gpus):
    """They draw power and do no work."""
    gpus((9, 0), (9, 0))
    _, report = start()
    assert "gpus_unused" in report.flags
    with pytest.raises(ConfigError, match="is 4 and the run has 2 GPUs"):
        start(tensor_parallel_size=4)
    _, report = start(tensor_parallel_size=2)
    assert "gpus_unused" not in report.flags
    assert report.effective["ranks"] == 2


def test_a_library_that_cannot_be_imported_is_told(spec_of, tmp_path, monkeypatch):
    """As its own first line has it, such as a driver that is not there."""
    from pytest_lem.engines.tensorrt.engine import TensorrtEngine

    text = "raise ImportError('libcuda.so.1: cannot open\\nmore')\n"
    (tmp_path / "tensorrt_llm.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(EngineNotAvailable, match=r"here: libcuda\.so\.1: cannot open$"):
        TensorrtEngine().load(spec_of())
