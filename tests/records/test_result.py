"""What a test holds in its hands: metrics that behave like numbers."""

import math

import pytest

from pytest_lem import NullMetricError
from pytest_lem.analysis.metrics import METRICS
from pytest_lem.records.result import Result

ENERGY = "energy_per_output_token_j"


@pytest.fixture
def result(make_cycle):
    """Three complete cycles of 1, 2 and 3 J/token and a failed one of 100."""
    cycles = [make_cycle(k, **{ENERGY: 1.0 + k}) for k in range(3)]
    failed = make_cycle(3, status="failed", **{ENERGY: 100.0}, flags=["odd"])
    return Result([*cycles, failed])


@pytest.fixture
def null(make_cycle):
    """A metric that does not exist."""
    nulls = {ENERGY: "no_meter: none was asked for"}
    return Result([make_cycle(nulls=nulls)]).energy_per_output_token_j


def test_cycles_are_pooled_and_failed_ones_left_out(result):
    """Mean and interval over the complete cycles."""
    metric = result.energy_per_output_token_j
    assert metric.value == 2.0
    assert metric.samples == (1.0, 2.0, 3.0)
    assert (metric.n, metric.unit, metric.name) == (3, "J/token", ENERGY)
    assert metric.high - 2.0 == pytest.approx(4.302652729911275 / math.sqrt(3))
    assert metric.low + metric.high == pytest.approx(4.0)
    assert metric.exists
    assert metric.reason is None
    assert len(result.cycles) == 4
    assert repr(result) == "<Result of 3 cycles>"


def test_it_compares_like_a_float(result):
    """With numbers on either side."""
    metric = result.energy_per_output_token_j
    assert metric > 1
    assert metric >= 2
    assert metric <= 2.0
    assert metric < 2.5
    assert 1 < metric < 3
    assert not metric > 2
    assert metric == 2
    assert metric != 2.1
    assert metric == metric.value
    assert max(metric, 5) == 5


def test_it_compares_with_other_metrics(result):
    """By value."""
    other = Result(result.cycles[:1]).energy_per_output_token_j
    assert other < result.energy_per_output_token_j
    assert other != result.energy_per_output_token_j
    assert other == Result(result.cycles[:1]).energy_per_output_token_j


def test_it_compares_with_approx(result):
    """As pytest's users write it."""
    metric = result.energy_per_output_token_j
    assert metric == pytest.approx(2.0000001)
    assert metric != pytest.approx(2.1)


def test_equal_things_have_equal_hashes(result):
    """Sets and dicts work as with floats."""
    assert hash(result.energy_per_output_token_j) == hash(2.0)


@pytest.mark.parametrize("other", ["2.0", None, [2.0]])
def test_what_is_no_number_is_not_compared(result, other):
    """A text that looks like a number is none."""
    metric = result.energy_per_output_token_j
    assert metric != other
    with pytest.raises(TypeError):
        assert metric < other


def test_it_converts_and_formats_like_a_float(result):
    """`float`, `math`, format specs and truth."""
    metric = result.energy_per_output_token_j
    assert float(metric) == 2.0
    assert math.sqrt(metric) == math.sqrt(2)
    assert f"{metric:.2f} {metric:>6.1e}" == "2.00 2.0e+00"
    assert f"{metric}" == "2.0"
    assert repr(metric) == "<Metric energy_per_output_token_j: 2 J/token, n=3>"
    assert metric


USES = {
    "float": float,
    "bool": bool,
    "above": lambda metric: metric > 1,
    "below, the other way round": lambda metric: min(1, metric),
    "equal": lambda metric: metric == 1,
    "approx": lambda metric: metric != pytest.approx(1),
    "format": "{:.2f}".format,
    "value": lambda metric: metric.value,
    "low": lambda metric: metric.low,
    "high": lambda metric: metric.high,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_null_metric_used_as_a_number_raises_with_its_reason(null, use):
    """A test that needs a number fails by its name; nothing passes by accident."""
    told = f"{ENERGY} does not exist: no_meter: none was asked for"
    with pytest.raises(NullMetricError, match=told):
        use(null)


def test_a_null_metric_can_be_asked(null):
    """What holds without a value can be said."""
    assert not null.exists
    assert null.reason == "no_meter: none was asked for"
    assert (null.unit, null.n, null.samples) == ("J/token", 0, ())
    assert repr(null) == f"<Metric {ENERGY}: null, no_meter: none was asked for>"
    assert {null: "can be a key"}[null]


def test_one_cycle_has_no_interval(make_cycle):
    """Low and high are None; the value is there."""
    metric = Result([make_cycle(**{ENERGY: 1.0})]).energy_per_output_token_j
    assert (metric.value, metric.low, metric.high) == (1.0, None, None)


def test_every_metric_of_the_table_is_an_attribute(result):
    """Known or null; `dir` lists them for completion."""
    assert set(METRICS) <= set(dir(result))
    for name, info in METRICS.items():
        assert getattr(result, name).unit == info.unit


def test_an_unknown_attribute_names_the_nearest_metric(result):
    """A typo in a test is found at once."""
    with pytest.raises(
        AttributeError, match="'ttft_p50' is unknown; did you mean 'ttft_p50_ms'"
    ):
        _ = result.ttft_p50
    assert not hasattr(result, "_private")


def test_flags_are_those_of_all_cycles(result):
    """Also of failed ones: they say something of the machine."""
    assert result.flags == {"odd"}


def test_no_cycles_are_a_result_without_metrics():
    """Before the first cycle nothing is measured."""
    empty = Result([])
    assert not empty.energy_gross_j.exists
    assert empty.energy_gross_j.reason == "not measured"
    assert empty.flags == frozenset()
