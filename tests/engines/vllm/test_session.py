"""A session of pytest with the real vLLM: what a user types, and the record of it."""

import json
import sys

import pytest

pytest.importorskip("vllm")

SOURCE = """
import pytest

@pytest.mark.lem(input_tokens=32, output_tokens=8)
@pytest.mark.parametrize("batch_size", [3])
def test_batch(lem, batch_size):
    assert lem().output_throughput_tps > 0
"""
OPTIONS = (
    "--lem-backend=vllm",
    "--lem-meter=none",
    "--lem-idle=off",
    "--lem-cycles=1",
    "--lem-windows=1",
    "--lem-warmup=off",
    "--lem-json=report.json",
    "--lem-set=vllm.enforce_eager=true",
    "--lem-set=vllm.kv_cache_memory_bytes=16777216",
)


def test_an_experiment_runs_in_vllm(pytester, monkeypatch):
    """The batch size is a hint, as the record says; every token is counted."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(test_it=SOURCE)
    command = (sys.executable, "-m", "pytest", "-p", "pytest_lem.plugin", *OPTIONS)
    assert pytester.run(*command).ret == 0
    report = json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))
    (experiment,) = report["experiments"]
    assert experiment["provenance"]["vllm.max_num_seqs"] == "batch_size"
    (cycle,) = experiment["cycles"]
    assert cycle["effective"]["max_num_seqs"] == 3
    assert cycle["effective"]["prefix_caching"] == "emptied"
    (window,) = cycle["windows"]
    assert window["batches"] == [3]
    assert (window["tokens"]["input"], window["tokens"]["output"]) == (96, 24)
    assert window["flops"]["method"] == "architecture"
    assert window["memory"]["kv_cache_mb"] > 0
