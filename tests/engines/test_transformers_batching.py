"""Batching strategies on the real library: what is computed, and in which order."""

import pytest

LENGTHS = (3, 11, 7, 20, 5)


@pytest.mark.parametrize(
    ("batching", "sizes", "pads"),
    [
        ({"strategy": "sorted_static"}, [2, 2, 1], 9 + 2),
        (
            {"strategy": "dynamic", "max_tokens_per_batch": 22},
            [2, 1, 1, 1],
            8,
        ),
        (
            {"strategy": "sorted_dynamic", "max_tokens_per_batch": 22},
            [1, 2, 2],
            4 + 2,
        ),
    ],
    ids=lambda value: value["strategy"] if isinstance(value, dict) else None,
)
def test_a_strategy_changes_batches_and_pads_and_no_token(
    load, ask, rows, bare, batching, sizes, pads
):
    """Each prompt gets what it gets alone, in its own place, stamps as well."""
    engine, _ = load(batching=batching)
    prompts = rows(*LENGTHS)
    got = ask(engine, prompts, stamps=True)
    assert [one.output_ids for one in got["completions"]] == [
        bare(row, 12) for row in prompts
    ]
    assert [one.input_tokens for one in got["completions"]] == list(LENGTHS)
    assert {len(one.token_ns) for one in got["completions"]} == {12}
    assert got["batches"] == sizes
    assert got["padding_tokens"] == pads
    assert [work.rows for work in got["work"]] == sizes
