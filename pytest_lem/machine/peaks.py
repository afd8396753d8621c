"""What GPUs can do at the most, by the vendor's data sheets: one table for all uses.

The table is `peaks.json`. Its rates are dense (without structured sparsity, which data
sheets like to count in), at boost clock, with accumulation in float32; a real kernel
reaches 60 to 80 % of them. Bandwidth is that of the GPU's own memory.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The peak of one GPU model.

    `flops_per_s` is by the precision that the arithmetic runs in (`float32` is without
    tensor cores, `tf32` with them); a precision that is not there is not known.
    """

    flops_per_s: Mapping[str, float]
    bandwidth_bytes_per_s: float
    source: str


def peak_of(name: str) -> Peak | None:
    """The peak of a GPU by the name that NVML gives it; None where it is not known.

    Only whole names count: a MIG instance is a part of its GPU and has no peak here.
    """
    return _table().get(name.removeprefix("NVIDIA ").removeprefix("Tesla "))


@functools.cache
def _table() -> dict[str, Peak]:
    """Each peak by the GPU's name, less the vendor's."""
    text = resources.files("pytest_lem.machine").joinpath("peaks.json")
    return {
        name: Peak(
            flops_per_s={k: tera * 1e12 for k, tera in row["tflops"].items()},
            bandwidth_bytes_per_s=row["gb_per_s"] * 1e9,
            source=row["source"],
        )
        for row in json.loads(text.read_text(encoding="utf-8"))
        for name in row["names"]
    }
