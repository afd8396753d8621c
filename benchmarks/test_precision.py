"""What fewer bits buy: half the bytes per weight, on hardware that computes in them."""

import pytest

pytestmark = pytest.mark.lem(input_tokens=64, output_tokens=64, batch_size=4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision(lem, precision):
    """Decode the same work in each precision."""
    result = lem()
    assert result.output_throughput_tps > 0
