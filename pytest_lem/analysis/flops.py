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
from typing import Literal, NamedTuple

from pytest_lem.analysis.architecture import Architecture


class Work(NamedTuple):
    """Forward calls alike: `rows` rows through a prefill and `steps` - 1 single tokens.

    Each row computes `new` tokens after `cached` ones that are there already; each of
    the `steps` calls samples a token for each row. Rows that only fill a batch up, and
    pad tokens, are computed too and count. With the cache `none` each call computes the
    whole context; one that is `beside` is held together with that of the work before.
    So is one that is `shared`, whose calls are the same: weights are read once for all.
    """

    rows: int
    cached: int
    new: int
    steps: int
    cache: Literal["own", "none", "beside", "shared"] = "own"

    @property
    def later(self) -> int:
        """Calls after the first one."""
        return self.steps - 1

    @property
    def contexts(self) -> int:
        """Sum of the contexts of a row after each later call: width + 1, and so on."""
        width = self.cached + self.new
        return self.later * width + self.later * (self.later + 1) // 2


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
    for one in works:
        width, pairs = one.cached + one.new, one.contexts
        if one.cache == "none":
            pairs = sum((width + step) ** 2 for step in range(1, one.steps))
        prefill += one.rows * (linear * one.new + head + attention * one.new * width)
        later = linear * _later_tokens(one) + head * one.later + attention * pairs
        decode += one.rows * later
    return Flops(prefill=prefill, decode=decode)


def by_parameters(parameters: int, works: Iterable[Work]) -> Flops:
    """Two operations for each parameter and token: no attention, no embedding told."""
    works = list(works)
    return Flops(
        prefill=2 * parameters * sum(one.rows * one.new for one in works),
        decode=2 * parameters * sum(one.rows * _later_tokens(one) for one in works),
    )


def longest_context(works: Sequence[Work]) -> int:
    """The most tokens that any row attends to."""
    return max((one.cached + one.new + one.steps - 1 for one in works), default=0)


def kv_cache_bytes(
    shape: Architecture, works: Sequence[Work], element_bytes: float
) -> float:
    """The most that the KV cache of a batch holds: every row's tokens but the last."""
    most = held = 0
    for one in works:
        before = held if one.cache in ("beside", "shared") else 0
        own = one.rows * (one.cached + one.new + one.later)
        held = before + (0 if one.cache == "none" else own)
        most = max(most, held)
    return most * shape.key_value_elements * element_bytes


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
    read, calls = 0.0, 0
    for one in works:
        kept = 0 if one.cache == "none" else one.contexts
        known = calls if one.cache == "shared" else 0
        calls = max(known, one.later)
        read += (calls - known) * weight_bytes + one.rows * kept * per_token
    return read


def _later_tokens(one: Work) -> int:
    """Tokens of a row that are computed after the first call."""
    return one.contexts if one.cache == "none" else one.later
