"""Most tokens a second, and with it fewest joules a token: fill the batch.

Raise `batch_size` until `output_throughput_tps` no longer follows, or memory ends it;
requests of like length share a batch, so that few pads are computed. Run by name:

    pytest benchmarks/recipes/recipe_throughput.py --lem-model=... --lem-json=r.json
"""

import pytest

pytestmark = pytest.mark.lem(
    input_tokens=64,
    output_tokens=32,
    cycles=1,
    transformers={"batching": {"strategy": "sorted_static"}},
)


@pytest.mark.parametrize("batch_size", [8, 32, 64])
def test_throughput(lem, batch_size):
    """One batch, each larger than the one before."""
    result = lem()
    assert result.output_throughput_tps > 0
