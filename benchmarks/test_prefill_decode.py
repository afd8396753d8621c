"""Where time and energy go: into reading a prompt at once, or answering by tokens.

Tokens are timed, so the report has prefill and decode apart: seconds, joules for each
token in and each token out, and watts. `--lem-phases` cuts energy windows as well.
"""

import pytest

pytestmark = pytest.mark.lem(
    requests=4, streaming=True, windows=1, warmup="fixed:1", cycles=1
)


@pytest.mark.parametrize(
    ("input_tokens", "output_tokens"),
    [
        pytest.param(512, 4, id="prefill"),
        pytest.param(32, 32, id="decode"),
    ],
)
def test_prefill_decode(lem, input_tokens, output_tokens):
    """Long prompts with short answers, and short prompts with long ones."""
    result = lem()
    assert result.prefill_throughput_tps > 0
    assert result.decode_throughput_tps > 0
