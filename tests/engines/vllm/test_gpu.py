"""What only a GPU shows of the real vLLM: graphs, sleep, 8 bits, memory given back."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("vllm")

from pytest_lem.engines import GenerateOptions
from pytest_lem.machine import gpu
from pytest_lem.worker.client import Limits, start_worker
from pytest_lem.worker.devices import environment_for

from .conftest import SMALL

GPUS = gpu.discover()
MB, GIB = 1e6, 2**30
SIX = GenerateOptions(output_tokens=6, min_output_tokens=6)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not GPUS, reason=str(gpu.absence())),
]


@pytest.fixture
def on_gpu(spec_of, tmp_path):
    """Load vLLM in a worker that has the first GPU: the worker, what it reported."""
    made = []

    def started(**section):
        client = start_worker(
            "pytest_lem.engines.vllm.engine:VllmEngine",
            name="vllm",
            python=sys.executable,
            environment={"HF_HUB_OFFLINE": "1", **environment_for([GPUS[0].uuid])},
            log_path=tmp_path / "worker.log",
            limits=Limits(),
        )
        made.append(client)
        return client, client.load(spec_of(gpus_expected=1, **{**SMALL, **section}))

    yield started
    for client in made:
        client.kill()


def used_mb():
    """Memory in use on the first GPU, everybody's."""
    with gpu.nvml() as nvml:
        handle = nvml.nvmlDeviceGetHandleByUUID(GPUS[0].uuid)
        return nvml.nvmlDeviceGetMemoryInfo(handle).used / MB


def tokens(client, prompts):
    return [one.output_ids for one in client.generate(prompts, SIX).completions]


@pytest.mark.parametrize(
    ("section", "sizes"),
    [
        ({"cudagraph_capture_sizes": [1, 2, 4]}, [1, 2, 4]),
        ({"max_cudagraph_capture_size": 8}, [1, 2, 4, 8]),
    ],
)
def test_graphs_are_captured_for_the_sizes_asked(on_gpu, rows, section, sizes):
    """The workers tell; nothing is claimed of pads where graphs have them."""
    client, loaded = on_gpu(enforce_eager=False, strict=True, **section)
    assert loaded.effective["cudagraph_mode"] == "FULL_AND_PIECEWISE"
    assert sorted(loaded.effective["capture_sizes"]) == sizes
    assert not client.generate(rows(5, 7, 6), SIX).padding_told


def test_without_graphs_there_are_none(on_gpu):
    """As `enforce_eager` says."""
    assert on_gpu()[1].effective["cudagraph_mode"] == "NONE"


SLEEPER = """
import json, sys
from pytest_lem.engines import GenerateOptions
from pytest_lem.engines.vllm.engine import VllmEngine
from pytest_lem.machine import gpu

def used():
    with gpu.nvml() as nvml:
        handle = nvml.nvmlDeviceGetHandleByUUID(gpu.discover()[0].uuid)
        return nvml.nvmlDeviceGetMemoryInfo(handle).used

def tokens():
    options = GenerateOptions(output_tokens=6, min_output_tokens=6)
    batches = engine.prepare([[1, 2, 3]], options)
    (outputs,) = [engine.run(one, options) for one in batches]
    return list(outputs[0].outputs[0].token_ids)

if __name__ == "__main__":
    engine = VllmEngine()
    engine.load(json.loads(sys.argv[1]))
    before, first = used(), tokens()
    engine._llm.sleep(level=1)
    freed = before - used()
    engine._llm.wake_up()
    told = {"freed": freed, "first": first, "second": tokens()}
    engine.unload()
    print("told", json.dumps(told))
"""


def test_an_engine_that_may_sleep_gives_its_memory_back(spec_of, tmp_path):
    """All of its cache; awake again, it goes on as before."""
    section = {"enable_sleep_mode": True, "kv_cache_memory_bytes": 2 * GIB}
    spec = spec_of(gpus_expected=1, **{**SMALL, **section})
    script = tmp_path / "sleeper.py"  # vLLM's own processes import it again
    script.write_text(SLEEPER)
    done = subprocess.run(
        [sys.executable, script, json.dumps(spec)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment_for([GPUS[0].uuid])},
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.rpartition("told ")[2].splitlines()[0])
    assert told["freed"] > 1.9 * GIB
    assert told["first"] == told["second"]


def test_weights_of_8_bits_are_those_of_the_workers(on_gpu, rows):
    """Made while loading, and named in the record."""
    client, loaded = on_gpu(quantization="fp8", precision="bfloat16", strict=True)
    assert loaded.effective["precision"]["quantisation"] == "fp8"
    assert "float8_e4m3fn" in loaded.effective["weights_dtypes"]
    assert len(tokens(client, rows(5))[0]) == 6


def test_a_cache_of_8_bits_holds_twice_as_much(on_gpu, rows):
    """In the same memory."""
    wide = {"precision": "bfloat16"}  # FlashAttention 3 gives no other out of 8 bits
    first, plain = on_gpu(**wide)
    first.close()
    plain = plain.effective
    client, loaded = on_gpu(kv_cache_dtype="fp8", strict=True, **wide)
    assert loaded.effective["kv_cache_bytes"] == plain["kv_cache_bytes"]
    assert loaded.effective["kv_cache_blocks"] == 2 * plain["kv_cache_blocks"]
    assert len(tokens(client, rows(5))[0]) == 6


def test_memory_is_back_at_its_baseline_after_an_engine(on_gpu):
    """To what the driver itself keeps."""
    before = used_mb()
    client, loaded = on_gpu(kv_cache_memory_bytes=2 * GIB)
    assert loaded.devices == [GPUS[0].uuid]
    assert used_mb() > before + 2 * GIB / MB
    client.unload()
    client.close()
    assert used_mb() < before + 64


def test_requests_without_an_adapter_are_the_models_own(on_gpu, rows, adapters):
    """Beside others, in one batch."""
    (prompt,) = rows(9)
    first, _ = on_gpu(precision="float16")
    own, same = tokens(first, [prompt, prompt])
    first.close()
    turn = {"adapters": adapters, "request_adapters": ["law", None]}
    client, _ = on_gpu(precision="float16", **turn)
    adapted, plain = tokens(client, [prompt, prompt])
    assert own == same == plain != adapted
