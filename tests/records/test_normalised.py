"""Values made comparable over precisions, apart from all that is measured."""

import pytest

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.errors import ConfigError
from pytest_lem.gate.limit import Limit
from pytest_lem.records.normalised import Normalised

ENERGY, INDEX = "energy_per_output_token_j", "token_efficiency_index"


@pytest.fixture
def found(make_cycle, make_record):
    """The experiment of one cycle at a precision."""

    def found(**precision):
        cycle = make_cycle(0, **{ENERGY: 3.0, INDEX: 8.0})
        cycle = cycle.model_copy(update={"effective": {"precision": precision}})
        return make_record([cycle]).experiments[0]

    return found


def test_values_are_as_if_weights_had_32_bits(found):
    """By hand: half the bytes in 32 bits are a third of the weights: 21.3 bits each."""
    one = found(weights={"bfloat16": 1.0}).normalised
    assert one.weight_bits == 16
    assert one.energy_per_output_token_normalised_j == pytest.approx(6.0)
    assert one.token_efficiency_index_normalised == pytest.approx(4.0)
    mixed = found(weights={"float16": 0.5, "float32": 0.5}).normalised
    assert mixed.weight_bits == pytest.approx(64 / 3)


@pytest.mark.parametrize(
    ("precision", "reason"),
    [
        ({}, "not_reported_by_engine"),
        ({"weights": {"odd": 1.0}}, "unknown_precision"),
        (
            {"weights": {"uint8": 1.0}, "quantisation": {"quant_method": "awq"}},
            "quantised_weights_are_packed",
        ),
    ],
)
def test_unknown_bits_normalise_nothing(found, precision, reason):
    """Each value is null, with the reason."""
    one = found(**precision)
    assert one.normalised == Normalised()
    told = {k: why for k, why in one.nulls.items() if k.startswith("normalised.")}
    assert told == {f"normalised.{name}": reason for name in Normalised.model_fields}


def test_no_gate_takes_a_normalised_value():
    """None is a metric, and a limit on one is refused for what it is."""
    assert not set(Normalised.model_fields) & set(METRICS)
    with pytest.raises(ConfigError, match="is normalised, by a convention"):
        Limit.parse("energy_per_output_token_normalised_j:5%")
