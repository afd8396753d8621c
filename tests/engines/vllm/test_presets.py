"""The presets for vLLM, on the real one; one of them as a user runs it."""

import importlib.metadata
import json

import pytest

pytest.importorskip("vllm")

from pytest_lem.spec.presets import PRESETS

INSTALLED = [one.value for one in importlib.metadata.entry_points(group="pytest11")]
PLUGIN = () if "pytest_lem.plugin" in INSTALLED else ("-p", "pytest_lem.plugin")

# Looking prompts up leaves a library behind that ends the next start of a process.
REPEATING = """
import pytest


@pytest.mark.lem(
    preset=["vllm-speculative", "vllm-throughput"],
    prompts=["a watt for a second is a joule. " * 4],
    output_tokens=24,
    vllm={
        "enforce_eager": True,
        "block_size": 32,
        "speculative_config": {"prompt_lookup_min": 1},
    },
)
def test_repeating(lem):
    assert lem().output_throughput_tps > 0
"""


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "vllm-throughput",
            {
                "max_num_seqs": 512,
                "enable_chunked_prefill": True,
                "enable_prefix_caching": True,
            },
        ),
        (
            "vllm-memory-efficient",
            {"kv_cache_dtype": "uint8", "enable_prefix_caching": True},
        ),
        ("vllm-low-latency", {"max_num_seqs": 32}),
    ],
)
def test_a_preset_loads_and_is_read_back(start, ask, rows, name, told):
    """All but a share of a GPU's memory, which CPUs do not have: that is told."""
    section = PRESETS[name].values["vllm"]
    engine, loaded = start(**section)
    assert {key: loaded.effective[key] for key in told} == told
    missing = loaded.effective.get("not_as_requested", [])
    assert [line.partition("=")[0] for line in missing] == [
        f"vllm.{key}" for key in section if key == "gpu_memory_utilization"
    ]
    assert len(ask(engine, rows(40), count=4)["completions"][0].output_ids) == 4


def test_low_latency_leaves_compiler_and_graphs_on():
    """Without them each step waits for its kernels to be launched."""
    section = PRESETS["vllm-low-latency"].values["vllm"]
    assert {"enforce_eager", "compilation_config"}.isdisjoint(section)


def test_drafts_from_a_prompt_that_repeats_itself_in_a_session(pytester, monkeypatch):
    """Five tokens at a time; the second window finds the prompt in the cache."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pytester.makepyfile(REPEATING)
    ran = pytester.runpytest_subprocess(
        *PLUGIN,
        *("-p", "no:randomly", "--lem-backend=vllm", "--lem-cycles=1"),
        *("--lem-windows=2", "--lem-warmup=off", "--lem-meter=none"),
        *("--lem-idle=off", "--lem-json=r.json"),
    )
    assert ran.ret == 0
    told = json.loads((pytester.path / "r.json").read_text(encoding="utf-8"))
    (one,) = told["experiments"]
    assert one["effective"]["speculation"]["method"] == "ngram"
    assert one["effective"]["speculation"]["num_speculative_tokens"] == 5
    assert one["extended"]["speculation"]["drafted_tokens"] > 0
    assert one["cycles"][0]["native"]["cached_prompt_tokens"] >= 96
