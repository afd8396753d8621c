"""The real TensorRT-LLM on a GPU, from a load to the record of a session.

Written by its documentation and sources, and not run with the real library yet.
"""

import json
import subprocess
import sys

import pytest

tensorrt_llm = pytest.importorskip("tensorrt_llm")

from pytest_lem.engines import GenerateOptions  # noqa: E402
from pytest_lem.engines.difference import difference  # noqa: E402
from pytest_lem.engines.tensorrt import hardware  # noqa: E402
from pytest_lem.errors import HardwareError  # noqa: E402
from pytest_lem.machine import gpu  # noqa: E402
from pytest_lem.worker.client import Limits, start_worker  # noqa: E402
from pytest_lem.worker.devices import environment_for  # noqa: E402
from tests.engines.contract import EngineContract  # noqa: E402

GPUS = gpu.discover()
SIX = GenerateOptions(output_tokens=6, min_output_tokens=6, batch_size=2)
SMALL = {"max_batch_size": 4, "max_seq_len": 4096, "precision": "bfloat16"}

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not GPUS, reason=str(gpu.absence())),
    pytest.mark.skipif(
        "scripted" in tensorrt_llm.__version__, reason="TensorRT-LLM is a scripted one"
    ),
]


@pytest.fixture
def on_gpus(spec_of, tmp_path):
    """Load TensorRT-LLM in a worker that has GPUs: the worker, what it reported."""
    made = []

    def started(count=1, **section):
        client = start_worker(
            "pytest_lem.engines.tensorrt.engine:TensorrtEngine",
            name="tensorrt",
            python=sys.executable,
            environment=environment_for([one.uuid for one in GPUS[:count]]),
            log_path=tmp_path / "worker.log",
            limits=Limits(),
        )
        made.append(client)
        section = {**SMALL, "gpus_expected": count, "strict": True, **section}
        return client, client.load(spec_of(**section))

    yield started
    for client in made:
        client.kill()


class TestRealTensorrt(EngineContract):
    """On the first GPU that CUDA shows, in this process."""

    exact = False
    near = 0.1

    @pytest.fixture
    def begin(self, spec_of):
        """Load the tiny model into an engine of its own."""
        from pytest_lem.engines.tensorrt.engine import TensorrtEngine

        made = []

        def started(**changes):
            engine = TensorrtEngine()
            made.append(engine)
            return engine, engine.load(spec_of(**{**SMALL, **changes}))

        yield started
        for engine in made:
            engine.unload()


def test_a_pass_tells_what_the_scheduler_did(on_gpus, rows):
    """Figures of steps and of requests, and nothing served from an earlier pass."""
    client, loaded = on_gpus()
    assert loaded.devices == [GPUS[0].uuid]
    for _ in range(2):
        told = client.generate(rows(96, 40, 5), SIX)
        assert {one.output_tokens for one in told.completions} == {6}
        assert told.native["cached_prompt_tokens"] == 0
        assert told.native["scheduler"]["steps"] >= 6
        assert told.native["scheduler"]["running_max"] == 3
        assert all(len(one) == 3 for one in told.native["request_times_ms"].values())


def test_tokens_are_drafted_from_the_prompt(on_gpus, rows):
    """And counted."""
    drafts = {"decoding_type": "NGram", "max_draft_len": 4}
    client, _ = on_gpus(speculative_config=drafts)
    told = client.generate(rows(40), SIX).native["speculation"]
    assert told["verify_calls"] <= 6
    assert told["accepted_tokens"] <= told["drafted_tokens"]


def test_a_cache_of_8_bits_is_in_force(on_gpus, rows):
    """As TensorRT-LLM has it; GPUs before 8.9 are told that they have none."""
    if hardware.gpus()[0].capability < (8, 9):
        with pytest.raises(HardwareError, match=r"capability 8\.9"):
            on_gpus(kv_cache_config={"dtype": "fp8"})
        return
    client, loaded = on_gpus(kv_cache_config={"dtype": "fp8"})
    assert loaded.effective["quantisation"]["kv_cache_algorithm"] == "FP8"
    assert len(client.generate(rows(5), SIX).completions[0].output_ids) == 6


@pytest.mark.skipif(len(GPUS) < 2, reason="needs 2 GPUs")
def test_two_gpus_share_a_model(on_gpus, rows):
    """Both are the run's."""
    client, loaded = on_gpus(2, tensor_parallel_size=2)
    assert loaded.effective["tensor_parallel_size"] == loaded.effective["ranks"] == 2
    assert loaded.devices == [one.uuid for one in GPUS[:2]]
    assert len(client.generate(rows(5), SIX).completions[0].output_ids) == 6


def test_an_engine_is_compiled_once(on_gpus, rows, tmp_path):
    """Its time is told, and the second load has none."""
    pytest.importorskip("tensorrt_llm._tensorrt_engine")
    section = {"backend": "tensorrt", "engine_cache_dir": str(tmp_path / "engines")}
    for cache in ("miss", "hit"):
        client, loaded = on_gpus(**section)
        built = loaded.effective["compiled"]
        assert built["engine_cache"] == cache
        assert (built["build_s"] is None) is (cache == "hit")
        assert len(client.generate(rows(5), SIX).completions[0].output_ids) == 6
        client.close()


def test_every_argument_of_the_installed_version_is_known():
    """None is new."""
    told = difference("tensorrt")
    assert not told.recorded
    assert told.new == []


SOURCE = """
import pytest

@pytest.mark.lem(input_tokens=64, output_tokens=32, batch_size=4, streaming=True)
def test_joules(lem):
    result = lem()
    assert result.energy_gross_j > 0
    assert result.ttft_mean_ms > 0
"""


def test_a_session_is_measured_in_joules(tmp_path):
    """By the driver's own meter, and nothing of it is made up."""
    (tmp_path / "test_it.py").write_text(SOURCE, encoding="utf-8")
    command = (sys.executable, "-m", "pytest", "--lem-backend=tensorrt")
    options = ("--lem-cycles=1", "--lem-json=report.json", "test_it.py")
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout
    told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    (experiment,) = told["experiments"]
    assert experiment["synthetic"] is False
