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


SHARED = """
import pytest

@pytest.mark.lem(input_tokens=96, shared_prefix_tokens=64, output_tokens=2, requests=4)
@pytest.mark.parametrize("least_hit_rate", [0.66, 0.67])
def test_shared(lem, least_hit_rate):
    lem()
"""


def test_a_shared_prefix_is_found_in_the_cache(pytester, monkeypatch):
    """As much of it as the engine counts itself: 64 of 96 tokens once it is warm."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(test_it=SHARED)
    command = (sys.executable, "-m", "pytest", "-p", "pytest_lem.plugin", *OPTIONS)
    more = ("enable_prefix_caching=true", "block_size=32")
    more = (*(f"--lem-set=vllm.{one}" for one in more), "--lem-warmup=fixed:3")
    result = pytester.run(*command, *more)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*0.6667 of the prompt tokens were found *=0.67*"])
    report = json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))
    found = report["experiments"][0]["extended"]["kv_cache"]["hit_rate"]
    assert found == pytest.approx(64 / 96)
