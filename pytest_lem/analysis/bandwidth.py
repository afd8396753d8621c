"""How fast memory must have been for a window's tokens: faster than it is cannot be."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pytest_lem.analysis.architecture import NoArchitecture, from_facts

SLACK = 0.10
# Of smaller models a GPU's cache may hold so much that its memory is spared it: the
# largest cache known here has 126 MB (B200).
LEAST_WEIGHT_BYTES = 2e9

_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
# What lets a model pass out several tokens of one reading of its weights.
_SPECULATION = re.compile("(?i)specul|assist|lookup|lookahead|draft|medusa|eagle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What each step reads at the least, and what memory gives at the most."""

    weight_bytes: float
    peak_bytes_per_s: float


def weight_bytes(facts: Mapping[str, Any], held_mb: float | None) -> float | None:
    """Bytes of weights that each step reads; None where it cannot be told for certain.

    That is of dense decoders of known shape and precision: the matrices of the layers
    and of the head, or all that is held, where that is less (quantised weights). A
    `decode_weights_mb` of None says that nobody knows what those have.
    """
    element_bytes = _BYTES.get(str(facts.get("dtype")))
    try:
        shape = from_facts(facts)
    except NoArchitecture:
        return None
    if element_bytes is None or facts.get("decode_weights_mb", held_mb or 0) is None:
        return None
    read = (shape.linear_parameters + shape.head_parameters) * element_bytes
    least = read if held_mb is None else min(read, held_mb * 1e6)
    return least if least >= LEAST_WEIGHT_BYTES else None


def speculates(asked: Mapping[str, Any]) -> bool:
    """Whether settings name a way to pass out several tokens in a step."""
    return any(
        _SPECULATION.search(name) is not None
        or (isinstance(value, Mapping) and speculates(value))
        for name, value in asked.items()
        if value not in (None, False)
    )


def least_steps(requests: Sequence[tuple[int, int, int]]) -> int:
    """The fewest passes through a model that these requests take.

    Each is (sent, ended, tokens out). Requests of one batch share their span, and its
    longest decides. Spans that overlap may have shared their passes.
    """
    spans: dict[tuple[int, int], int] = {}
    for sent, ended, output in requests:
        spans[sent, ended] = max(spans.get((sent, ended), 0), output)
    order = sorted(spans)
    apart = all(before[1] <= after[0] for before, after in pairwise(order))
    return sum(spans.values()) if apart else max(spans.values(), default=0)


def too_fast(name: str, steps: int, duration_s: float, memory: Memory) -> Iterator[str]:
    """A line where the weights were read over 10 % faster than memory can be."""
    rate = steps * memory.weight_bytes / duration_s if duration_s > 0 else 0.0
    if rate > (1 + SLACK) * memory.peak_bytes_per_s:
        yield (
            f"bandwidth: {name}: {steps} steps in {duration_s:.6g} s read at least "
            f"{memory.weight_bytes / 1e9:.3g} GB of weights each, which is "
            f"{rate / 1e9:.4g} GB/s, and the memory gives "
            f"{memory.peak_bytes_per_s / 1e9:.4g} GB/s"
        )
