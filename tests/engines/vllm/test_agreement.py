"""transformers and vLLM asked the same: what they say, and how sure they are of it."""

import json
import sys

import pytest

pytest.importorskip("vllm")
pytest.importorskip("typer")
pytestmark = pytest.mark.slow

SOURCE = """
import pytest

@pytest.mark.lem(
    input_tokens=24, output_tokens=32, batch_size=4, transformers={"device": "cpu"},
    vllm={"enforce_eager": True, "kv_cache_memory_bytes": 2**24, "block_size": 32},
    backends=["transformers", "vllm"], model="synthetic:llama-tiny",
    precision="float32",
)
def test_it(lem):
    lem()
"""
OPTIONS = (
    "--lem-backend=transformers,vllm",
    "--lem-meter=none",
    "--lem-idle=off",
    "--lem-cycles=1",
    "--lem-windows=1",
    "--lem-warmup=off",
    "--lem-quality=perplexity",
    "--lem-save-outputs=said",
    "--lem-json=r.json",
)


def test_two_engines_agree_on_the_same_weights(pytester, monkeypatch):
    """Greedily: nearly every token, with the same probabilities to 1e-4."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(test_it=SOURCE)
    command = (sys.executable, "-m", "pytest", "-p", "pytest_lem.plugin", *OPTIONS)
    assert pytester.run(*command).ret == 0
    report = json.loads((pytester.path / "r.json").read_text(encoding="utf-8"))
    texts = [one["quality"]["perplexity"] for one in report["experiments"]]
    assert texts[0]["sha256"] == texts[1]["sha256"]
    assert texts[0]["value"] == pytest.approx(texts[1]["value"], rel=1e-4)
    lem = (sys.executable, "-m", "pytest_lem.cli", "quality", "agreement", "r.json")
    told = pytester.run(*lem, "--json")
    assert told.ret == 0
    found = json.loads(told.outlines[0])
    assert (found["requests"], found["tokens"]) == (4, 128)
    assert found["match_rate"] > 0.9
    assert found["compared_tokens"] > 64
    assert found["log_probability_distance"] < 1e-4
