"""Values made comparable over precisions by a convention, apart from what was measured.

No formula for it is agreed on: these take work to be as much as the bits of a weight.
"""

import re
from collections.abc import Mapping
from typing import Any

from pytest_lem.analysis.metrics import product, ratio
from pytest_lem.analysis.stats import Summary
from pytest_lem.records.part import Number, Part

FULL_BITS = 32

_ENERGY = "energy_per_output_token_j"
_INDEX = "token_efficiency_index"


class Normalised(Part):
    """An experiment's values as if its weights had 32 bits; no gate ever takes them.

    `weight_bits` is the mean over the weights as they are loaded. Null has its reason
    in the experiment's `nulls`.
    """

    weight_bits: Number = None
    energy_per_output_token_normalised_j: Number = None
    token_efficiency_index_normalised: Number = None


def normalised(
    summary: Mapping[str, Summary], effective: Mapping[str, Any], nulls: dict[str, str]
) -> Normalised:
    """By the precision that was loaded; why a value is null goes to `nulls`."""
    precisions = effective.get("precision")
    precision = precisions if isinstance(precisions, Mapping) else {}
    bits, reason = _weight_bits(precision)
    factor = ratio(bits, FULL_BITS)
    values = {name: one.value for name, one in summary.items()}
    found = Normalised(
        weight_bits=bits,
        energy_per_output_token_normalised_j=ratio(values.get(_ENERGY), factor),
        token_efficiency_index_normalised=product(values.get(_INDEX), factor),
    )
    sources = {
        "energy_per_output_token_normalised_j": _ENERGY,
        "token_efficiency_index_normalised": _INDEX,
    }
    for name, value in found:
        if value is None:
            told = nulls.get(f"summary.{sources.get(name)}", "divisor_is_zero")
            nulls[f"normalised.{name}"] = reason or told
    return found


def _weight_bits(precision: Mapping[str, Any]) -> tuple[float | None, str | None]:
    """Bits of a weight, by shares of bytes; or why nobody knows them."""
    if precision.get("quantisation") is not None:
        return None, "quantised_weights_are_packed"
    shares = precision.get("weights")
    if not shares:
        return None, "not_reported_by_engine"
    bits = {name: re.search(r"(?:float|int)(\d+)", name) for name in shares}
    if not all(bits.values()):
        return None, "unknown_precision"
    each = (share / int(m[1]) for name, share in shares.items() if (m := bits[name]))
    return ratio(1.0, sum(each)), None
