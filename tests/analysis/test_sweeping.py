"""When a sweep has told enough."""

import pytest

from pytest_lem.analysis.sweeping import Dominated, EnergyLimit, Flat, parse_rule

SPEED, WAIT = "output_throughput_tps", "ttft_p50_ms"


def points(*pairs):
    """Throughput and time to the first token at batch sizes 1, 2, 4, ..."""
    return {2.0**k: {SPEED: a, WAIT: b} for k, (a, b) in enumerate(pairs)}


def test_a_sweep_is_flat_when_each_of_its_last_did_not_improve():
    """By the margin, on the best before them, whichever way is better."""
    rule = Flat(metric=SPEED, last=2, by=1)
    assert rule.reason([100, 100.5]) is None
    assert rule.reason([100, 50, 102]) is None
    assert rule.reason([100, 50, 100.9]).endswith("by 1 % in 2 in a row")
    assert Flat(metric=WAIT, last=1).reason([10, 9]) is None
    assert Flat(metric=WAIT, last=1).reason([10, 11]) is not None


def test_beyond_what_is_dominated_nothing_is_tried():
    """Throughput no longer rises and latency does; either alone is a trade."""
    rule = parse_rule(f"dominated:{SPEED}+{WAIT}")
    assert rule == Dominated(metrics=(SPEED, WAIT), along="batch_size", by=1.0)
    assert rule.reason(points((100, 10), (200, 20), (400, 40))) is None
    assert rule.reason(points((100, 10), (200, 20), (200.5, 20))) is None
    told = rule.reason(points((100, 10), (200, 20), (201, 40)))
    assert told.startswith("batch_size=4 is dominated by batch_size=2 (")


def test_rules_are_read_as_they_are_typed():
    """Terms have any order."""
    assert parse_rule("energy:5e4") == EnergyLimit(limit_j=50_000)
    assert parse_rule(f"flat:{SPEED},by=2,last=5") == Flat(metric=SPEED, last=5, by=2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sloth:1", "is no rule: write energy:JOULES"),
        ("energy:0", "is no energy above 0 J"),
        ("energy:much", "has no number in 'much'"),
        ("flat:speed", "metric 'speed' is unknown"),
        (f"flat:{SPEED},last=1.5", "last to be a whole number"),
        (f"flat:{SPEED},by=-1", "a percentage below 0"),
        (f"flat:{SPEED},along=batch_size", "has no term"),
        (f"dominated:{SPEED},along=batchsize", "did you mean 'batch_size'"),
    ],
)
def test_what_is_no_rule_is_refused_with_what_is_one(text, told):
    """In one line."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_rule(text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
