"""The shortest wait for a single user: one request at a time, and less to do for each.

Read `ttft_p50_ms` and `itl_p50_ms`. A cache of fixed size lets transformers compile
decoding on a GPU; tokens drafted from the prompt pay where the answer repeats it. What
is gained here costs energy: compare `energy_per_output_token_j` with the recipe for
throughput. Run by name:

    pytest benchmarks/recipes/recipe_latency.py --lem-model=... --lem-json=r.json
"""

from pathlib import Path

import pytest

pytestmark = pytest.mark.lem(
    input_tokens=64,
    output_tokens=32,
    batch_size=1,
    streaming=True,
    streaming_warmup_requests=2,
    cycles=1,
)

GPU = any(Path("/dev").glob("nvidia[0-9]*"))


def test_plain(lem):
    """What the others are compared with."""
    result = lem()
    assert result.output_throughput_tps > 0


@pytest.mark.lem(backends=["transformers"])
@pytest.mark.parametrize(
    "transformers",
    [
        pytest.param({"prompt_lookup_num_tokens": 4}, id="drafts"),
        pytest.param(
            {"cache_implementation": "static"},
            id="compiled",
            marks=pytest.mark.skipif(not GPU, reason="needs an NVIDIA GPU"),
        ),
    ],
)
def test_fewer_waits(lem, transformers):
    """Several tokens at a step, or steps that are launched at once."""
    result = lem()
    assert result.output_throughput_tps > 0
