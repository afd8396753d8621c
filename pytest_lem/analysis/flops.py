"""Floating-point operations of a dense decoder, and the bytes its decoding moves.

A multiplication with its addition counts as two. Only matrix products count, as torch's
counter and vLLM's do, with which the closed form agrees exactly (attention computed
eagerly, prefill not halved for causality):

    F = 2 P_linear T_computed + 2 P_head T_sampled + 4 W_query layers sum(new x context)

The sum runs over forward calls: new tokens times the context after the call, for each
row. Standard library only, because workers read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pytest_lem.analysis.architecture import Architecture


class Work(NamedTuple):
    """Forward calls alike: `rows` rows through a prefill and `steps` - 1 single tokens.

    Each row computes `new` tokens after `cached` ones that are there already; each of
    the `steps` calls samples a token for each row. Rows that only fill a batch up, and
    pad tokens, are computed too and count.
    """

    rows: int
    cached: int
    new: int
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops:
    """Operations of prefill (the first forward call of each batch) and of the rest."""

    prefill: float
    decode: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.prefill + self.decode


def closed_form(shape: Architecture, works: Iterable[Work]) -> Flops:
    """The exact count for a dense decoder."""
    linear, head = 2 * shape.linear_parameters, 2 * shape.head_parameters
    attention = 4 * shape.query_width * shape.layers
    prefill = decode = 0
    for rows, cached, new, steps in works:
        width, later = cached + new, steps - 1
        prefill += rows * (linear * new + head + attention * new * width)
        # The contexts of later calls are width + 1, ..., width + later.
        contexts = later * width + later * (later + 1) // 2
        decode += rows * (later * (linear + head) + attention * contexts)
    return Flops(prefill=prefill, decode=decode)


def by_parameters(parameters: int, works: Iterable[Work]) -> Flops:
    """Two operations for each parameter and token: no attention, no embedding told."""
    works = list(works)
    return Flops(
        prefill=2 * parameters * sum(one.rows * one.new for one in works),
        decode=2 * parameters * sum(one.rows * (one.steps - 1) for one in works),
    )


def longest_context(works: Sequence[Work]) -> int:
    """The most tokens that any row attends to."""
    return max((one.cached + one.new + one.steps - 1 for one in works), default=0)


def kv_cache_bytes(
    shape: Architecture, works: Sequence[Work], element_bytes: float
) -> float:
    """The most that the KV cache of a batch holds: every row's tokens but the last."""
    tokens = [one.rows * (one.cached + one.new + one.steps - 1) for one in works]
    return max(tokens, default=0) * shape.key_value_elements * element_bytes


def decode_bytes(
    shape: Architecture,
    works: Iterable[Work],
    *,
    weight_bytes: float,
    element_bytes: float,
) -> float:
    """What decoding must read at the least: weights at each step, and the KV cache.

    `weight_bytes` are those that a step reads, whatever the rows.
    """
    per_token = shape.key_value_elements * element_bytes
    read = 0.0
    for rows, cached, new, steps in works:
        width, later = cached + new, steps - 1
        contexts = later * width + later * (later + 1) // 2
        read += later * weight_bytes + rows * contexts * per_token
    return read
