"""What a token in and a token out cost: a designed experiment.

The corners of prompt length and answer length. Write a report and let it be fitted:

    pytest benchmarks/test_phases.py --lem-json=report.json
    lem phases report.json
"""

import pytest

pytestmark = pytest.mark.lem(batch_size=1)


@pytest.mark.parametrize(
    ("input_tokens", "output_tokens"),
    [(32, 16), (32, 96), (256, 16), (256, 96)],
)
def test_phases(lem, input_tokens, output_tokens):
    """One request, with lengths at a corner of the design."""
    result = lem()
    assert result.output_throughput_tps > 0
