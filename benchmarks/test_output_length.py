"""What a longer answer costs: the prompt is paid once, each token out for itself."""

import pytest

pytestmark = pytest.mark.lem(input_tokens=128, batch_size=4)


@pytest.mark.parametrize("output_tokens", [16, 64, 128])
def test_output_length(lem, output_tokens):
    """Answer four 128-token prompts at three lengths."""
    result = lem()
    assert result.output_throughput_tps > 0


@pytest.mark.lem(output_tokens=32, streaming=True)
def test_first_token(lem):
    """Time to the first token, and between tokens, one request at a time."""
    result = lem()
    assert result.ttft_p50_ms < result.e2e_p50_ms
