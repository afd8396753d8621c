"""What a user waits for: a first token, which the prompt holds up, then the others.

Energy windows and latency windows are separate: a stamp for each token makes the device
wait for the host. Percentiles that so few requests do not support are marked.
"""

import pytest

pytestmark = pytest.mark.lem(
    output_tokens=16, requests=4, streaming=True, windows=1, warmup="fixed:1", cycles=1
)


@pytest.mark.parametrize("input_tokens", [32, 256])
def test_streaming_latency(lem, input_tokens):
    """Ten requests one at a time, each token stamped, after five that warm up."""
    result = lem()
    assert 0 < result.itl_p50_ms < result.e2e_p50_ms
    assert result.ttft_p50_ms < result.e2e_p50_ms
