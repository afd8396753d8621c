"""The least memory: narrow weights, a prompt in chunks, and a cache elsewhere.

Read `memory_model_mb` and `memory_peak_mb`, and what the megabytes cost in
`energy_per_output_token_j`. A long prompt needs the most memory while it is computed, a
large batch while it is answered. Run by name:

    pytest benchmarks/recipes/recipe_memory.py --lem-model=... --lem-json=r.json
"""

from pathlib import Path

import pytest

pytestmark = pytest.mark.lem(input_tokens=256, output_tokens=16, batch_size=4, cycles=1)

GPU = any(Path("/dev").glob("nvidia[0-9]*"))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_weights(lem, precision):
    """Half the bits are half the megabytes."""
    result = lem()
    assert result.output_throughput_tps > 0


@pytest.mark.lem(backends=["transformers"], precision="bfloat16")
@pytest.mark.parametrize(
    "transformers",
    [
        pytest.param({"prefill_chunk_size": 64}, id="chunks"),
        pytest.param(
            {"cache_implementation": "offloaded"},
            id="offloaded",
            marks=pytest.mark.skipif(not GPU, reason="needs an NVIDIA GPU"),
        ),
    ],
)
def test_activations_and_cache(lem, transformers):
    """The prompt is computed 64 tokens at a time, or the cache lies with the host."""
    result = lem()
    assert result.output_throughput_tps > 0
