"""What batching buys: the same requests, more of them at once.

The weights are read once per decoding step whatever the batch, so energy per output
token falls with the batch size until the arithmetic, not the memory, is the limit.
"""

import pytest

pytestmark = pytest.mark.lem(input_tokens=64, output_tokens=64)


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_batch_size(lem, batch_size):
    """Decode 64 tokens from 64-token prompts."""
    result = lem()
    assert result.output_throughput_tps > 0
