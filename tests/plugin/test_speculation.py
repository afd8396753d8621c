"""Drafts of the real engine, from its windows to the groups of the record."""

import pytest

SOURCE = """
import pytest

@pytest.mark.lem(
    input_tokens=16, output_tokens=8,
    transformers={"device": "cpu", "prompt_lookup_num_tokens": 2},
)
def test_lookup(lem):
    lem()
"""

OPTIONS = (
    "--lem-backend=transformers",
    "--lem-cycles=1",
    "--lem-windows=2",
    "--lem-idle=off",
    "--lem-warmup=off",
    "--lem-meter=none",
    "--lem-json=r.json",
)


def test_drafts_are_counted_over_all_windows(pytester, report):
    """In a group of the record, and among no engine's own figures."""
    pytest.importorskip("transformers")
    pytester.makepyfile(test_it=SOURCE)
    run = pytester.runpytest_subprocess(*OPTIONS, "-p", "no:randomly")
    run.assert_outcomes(passed=1)
    (lookup,) = report().experiments
    found = lookup.extended["speculation"]
    (cycle,) = lookup.cycles
    each = [window.speculation.verify_calls for window in cycle.windows]
    assert found["verify_calls"] == sum(each)
    assert found["tokens_per_call"] == 16 / sum(each)
    assert "speculation" not in cycle.native
