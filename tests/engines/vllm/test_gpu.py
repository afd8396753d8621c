"""What only a GPU shows of the real vLLM: graphs, sleep, 8 bits, memory given back."""

import pytest

pytest.importorskip("vllm")

from pytest_lem.machine import gpu

GPUS = gpu.discover()
MB, GIB = 1e6, 2**30

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not GPUS, reason=str(gpu.absence())),
]


@pytest.fixture(scope="module")
def on_gpu(start):
    """vLLM on the first GPU, its core in a process of its own."""

    def started(**section):
        return start(gpus_expected=1, **section)

    return started


def used_mb():
    """Memory in use on the first GPU, everybody's."""
    with gpu.nvml() as nvml:
        handle = nvml.nvmlDeviceGetHandleByUUID(GPUS[0].uuid)
        return nvml.nvmlDeviceGetMemoryInfo(handle).used / MB


def tokens(got):
    return [one.output_ids for one in got["completions"]]


@pytest.mark.parametrize(
    ("section", "sizes"),
    [
        ({"cudagraph_capture_sizes": [1, 2, 4]}, [1, 2, 4]),
        ({"max_cudagraph_capture_size": 8}, [1, 2, 4, 8]),
    ],
)
def test_graphs_are_captured_for_the_sizes_asked(on_gpu, ask, rows, section, sizes):
    """The workers tell; no padding of prompts is claimed where graphs pad."""
    engine, loaded = on_gpu(enforce_eager=False, strict=True, **section)
    assert loaded.effective["cudagraph_mode"] == "FULL_AND_PIECEWISE"
    assert sorted(loaded.effective["capture_sizes"]) == sizes
    got = ask(engine, rows(5, 7, 6), count=6)
    assert not got["padding_told"]


def test_without_graphs_there_are_none(on_gpu):
    """As `enforce_eager` says, and a mode of compilation."""
    assert on_gpu()[1].effective["cudagraph_mode"] == "NONE"


def test_an_engine_that_may_sleep_gives_its_memory_back(on_gpu, ask, rows):
    """All of its cache; awake again, it goes on as before."""
    engine, _ = on_gpu(enable_sleep_mode=True, kv_cache_memory_bytes=2 * GIB)
    before, prompts = used_mb(), rows(5, 7)
    found = tokens(ask(engine, prompts, count=6))
    engine._llm.sleep(level=1)
    assert used_mb() < before - 1.9 * GIB / MB
    engine._llm.wake_up()
    assert tokens(ask(engine, prompts, count=6)) == found


def test_weights_of_8_bits_are_those_of_the_workers(on_gpu, ask, rows):
    """Made while loading, and named in the record."""
    engine, loaded = on_gpu(quantization="fp8", precision="bfloat16", strict=True)
    assert loaded.effective["precision"]["quantisation"] == "fp8"
    assert "float8_e4m3fn" in loaded.effective["weights_dtypes"]
    assert len(tokens(ask(engine, rows(5), count=6))[0]) == 6


def test_a_cache_of_8_bits_holds_twice_as_much(on_gpu, ask, rows):
    """In the same memory."""
    plain = on_gpu()[1].effective
    engine, loaded = on_gpu(kv_cache_dtype="fp8", strict=True)
    assert loaded.effective["kv_cache_bytes"] == plain["kv_cache_bytes"]
    assert loaded.effective["kv_cache_blocks"] == 2 * plain["kv_cache_blocks"]
    assert len(tokens(ask(engine, rows(5), count=6))[0]) == 6


def test_memory_is_back_at_its_baseline_after_an_engine(on_gpu):
    """To what the driver itself keeps."""
    on_gpu()[0].unload()
    before = used_mb()
    engine, loaded = on_gpu(kv_cache_memory_bytes=2 * GIB)
    assert loaded.devices == ["cuda:0"]  # which a worker turns into its UUID
    assert used_mb() > before + 2 * GIB / MB
    engine.unload()
    assert used_mb() < before + 64
