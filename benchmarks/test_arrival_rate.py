"""What traffic does to latency and energy: requests come whether or not there is room.

Below what the engine can do, energy per token is highest where it is mostly idle; above
it requests wait longer and longer, and the window is flagged `saturated`. Rates, the
busy share and the test of the gaps are printed below the table.
"""

import pytest

pytestmark = pytest.mark.lem(
    input_tokens=32,
    output_tokens=8,
    batch_size=8,
    requests=32,
    windows=1,
    warmup="fixed:1",
    cycles=1,
)


@pytest.mark.parametrize(
    "arrivals",
    [
        pytest.param({"rate_rps": 40}, id="40"),
        pytest.param({"rate_rps": 1000}, id="1000"),
        pytest.param({"mode": "gamma", "rate_rps": 40, "burstiness": 0.3}, id="bursts"),
    ],
)
def test_arrival_rate(lem, arrivals):
    """32 requests at random times, the same on every engine."""
    result = lem()
    assert result.request_throughput_rps > 0
