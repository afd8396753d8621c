"""A session of pytest with the scripted TensorRT-LLM in a worker, and its record."""

import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTED = ROOT / "tests" / "data" / "scripted_tensorrt"
SOURCE = """
import pytest

@pytest.mark.lem(input_tokens=32, output_tokens=8)
@pytest.mark.parametrize("batch_size", [3])
def test_batch(lem, batch_size):
    assert lem().output_throughput_tps > 0

@pytest.mark.lem(input_tokens=16, output_tokens=8, streaming=True, requests=8)
def test_stream(lem):
    assert lem().ttft_mean_ms > 0
"""
OPTIONS = (
    "--lem-meter=none",
    "--lem-idle=off",
    "--lem-cycles=1",
    "--lem-windows=1",
    "--lem-warmup=off",
    "--lem-json=report.json",
)


@pytest.fixture
def command(pytester, monkeypatch):
    """Run pytest where the scripted library is installed, with or without its GPU."""
    import pytest_lem

    here = str(Path(pytest_lem.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SCRIPTED), here]))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(*arguments, backend="trt", gpu="9.0"):
        monkeypatch.setenv("SCRIPTED_GPU", gpu)
        backend = f"--lem-backend={backend}"
        told = ("-m", "pytest", "-p", "pytest_lem.plugin", backend, *OPTIONS)
        return pytester.run(sys.executable, *told, *map(str, arguments))

    return run


def report(pytester):
    return json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))


def test_lengths_above_what_the_engine_is_asked_to_hold_are_told(pytester, command):
    """Before it is loaded; where no lengths are asked for nothing may be generated."""
    pytester.makepyfile(test_it=SOURCE + "def test_free(engine):\n    assert engine\n")
    result = command("--lem-set=tensorrt.max_seq_len=39")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*test_batch*=8 make 40; tensorrt.max_seq_len holds 39"]
    )
    result.stderr.no_fnmatch_line("*test_stream*")
    result.stderr.no_fnmatch_line("*test_free*")


def test_experiments_run_in_tensorrt_llm(pytester, command):
    """By its alias; records say that the library was scripted, and whose version."""
    pytester.makepyfile(test_it=SOURCE)
    assert command().ret == 0
    batch, stream = report(pytester)["experiments"]
    assert batch["spec"]["backend"] == "tensorrt"
    assert batch["synthetic"] is True
    assert batch["provenance"]["tensorrt.max_batch_size"] == "batch_size"
    (cycle,) = batch["cycles"]
    assert cycle["engine"] == {"name": "tensorrt", "version": "1.3.0rc0+scripted"}
    assert cycle["effective"]["max_batch_size"] == 3
    assert cycle["effective"]["prefix_caching"] == "emptied"
    (window,) = cycle["windows"]
    assert window["batches"] == [3]
    assert (window["tokens"]["input"], window["tokens"]["output"]) == (96, 24)
    assert window["flops"]["method"] == "architecture"
    assert window["scheduler"]["steps"] >= 8
    (cycle,) = stream["cycles"]
    paths = [one["latency"]["path"] for one in cycle["windows"] if one["latency"]]
    assert set(paths) == {"LLM.generate", "LLM.generate_async"}


def test_what_collection_refuses_is_one_line_for_each(pytester, command):
    """Older names, what is gone, and what cannot be together."""
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.lem(tensorrt={"tp_size": 1, "max_output_len": 5})
        def test_gone(lem): ...

        @pytest.mark.lem(adapter=".", tensorrt={"fast_build": True})
        def test_merged(lem): ...

        @pytest.mark.lem(tensorrt={"quantization": {"method": "int8_sq"}})
        def test_calibrated(lem): ...

        @pytest.mark.lem(tensorrt={"load_in_4bit": True})
        def test_bits(lem): ...

        @pytest.mark.lem(batch_size=8, tensorrt={"max_batch_size": 4})
        def test_small(lem): ...

        @pytest.mark.lem(tensorrt={"tensor_parallel_size": 16, "gpus_per_node": 8})
        def test_two_nodes(lem): ...

        @pytest.mark.lem(tensorrt={"speculative_config": {"max_draft_len": 4}})
        def test_who(lem): ...
        """
    )
    done = command("--collect-only")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines_random(
        [
            "*max_output_len*TensorRT-LLM has no such field; set max_seq_len*",
            "*adapter: a compiled engine takes none; merge it into the weights*",
            "*quantization.method=int8_sq needs quantization.calibration*",
            "*load_in_4bit*tensorrt.quantization.method*",
            "*tensorrt.max_batch_size=4 is below batch_size=8*",
            "*gpus_per_node=8 is below the 16 ranks*trtllm-llmapi-launch*take vLLM*",
            "*speculative_config.decoding_type is missing*",
        ]
    )


def test_a_gpu_that_is_too_old_is_a_reason_to_skip(pytester, command):
    """Before the model is loaded."""
    pytester.makepyfile(test_it=SOURCE)
    told = "*TensorRT-LLM needs a GPU of compute capability 8.0, and scripted has 7.5*"
    done = command("-k", "batch", "-rs", gpu="7.5")
    done.assert_outcomes(skipped=1)
    done.stdout.fnmatch_lines([told])


def test_shipped_benchmarks_run(pytester, command):
    """As they are, with a number and with a drafting model of their own."""
    names = ("test_batch_size.py", "test_speculative.py")
    done = command(
        *(ROOT / "benchmarks" / name for name in names),
        *("-k", "assisted or batch_size and 4"),
        *("--lem-set=output_tokens=4", "--lem-set=input_tokens=8"),
        backend="tensorrt",
    )
    assert done.ret == 0
    found = report(pytester)["experiments"]
    assert [len(one["cycles"]) for one in found] == [1, 1]
