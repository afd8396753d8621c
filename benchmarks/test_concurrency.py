"""What more users at once cost each of them: a closed loop, four places in the engine.

Throughput grows until the places are taken. Beyond that requests wait for one
(`requests_queued`): throughput stays, and latency grows with the users.
"""

import pytest

pytestmark = pytest.mark.lem(
    input_tokens=32,
    output_tokens=16,
    batch_size=4,
    requests=16,
    windows=1,
    warmup="fixed:1",
    cycles=1,
)


@pytest.mark.parametrize("concurrency", [1, 4, 8])
def test_concurrency(lem, concurrency):
    """16 requests, each sent when another one has ended."""
    result = lem()
    assert result.e2e_p50_ms > 0
    assert ("requests_queued" in result.flags) == (concurrency > 4)
