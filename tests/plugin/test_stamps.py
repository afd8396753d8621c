"""`--lem-save-stamps`: when each request was sent, and each of its tokens came."""

from pathlib import Path

import pytest

from pytest_lem.records.stamps import read_stamps

SOURCE = """
import pytest

@pytest.mark.lem(
    batch_size=2, streaming=True, streaming_warmup_requests=1, requests=3,
    output_tokens=5,
)
def test_it(lem):
    lem()
"""


def test_each_cycle_has_a_file_with_the_times_of_each_request(run, report):
    """Of every window in order, those that warm up too; and it says what was kept."""
    run(SOURCE, "--lem-save-stamps=times", "--lem-json=r.json").assert_outcomes(
        passed=1
    )
    for cycle in report().experiments[0].cycles:
        kept = read_stamps(Path(cycle.stamps_path))
        told = [(w.index, w.kind, w.requests) for w in cycle.windows]
        assert [(w.window, w.kind, len(w.requests)) for w in kept] == told
        batched, streamed = kept[0].requests, kept[-1].requests
        assert {len(one.token_ns) for one in batched} == {0}
        assert {len(one.token_ns) for one in streamed} == {5}
        assert [k for k, one in enumerate(streamed) if one.left_out] == [0]
        timed = [one for one in streamed if not one.left_out]
        mean_ms = sum(one.token_ns[0] - one.sent_ns for one in timed) / 1e6 / len(timed)
        assert mean_ms == pytest.approx(cycle.windows[-1].latency["ttft_ms"]["mean"])


def test_nothing_is_kept_unasked(run, report):
    """And the record says that nobody asked."""
    run(SOURCE, "--lem-json=r.json").assert_outcomes(passed=1)
    cycle = report().experiments[0].cycles[0]
    assert (cycle.stamps_path, cycle.nulls["stamps_path"]) == (None, "not_asked_for")


def test_times_that_cannot_be_written_flag_the_cycle(run, report, project):
    """Its windows count: what was measured is not lost."""
    body = 'import pathlib; pathlib.Path("times").touch(); lem()'
    run(SOURCE.replace("lem()", body), "--lem-save-stamps=times", "--lem-json=r.json")
    (one,) = report().experiments
    assert "stamps_not_saved" in one.flags
    assert one.cycles[0].nulls["stamps_path"] == "not_writable"
    assert "output_throughput_tps" in one.summary
