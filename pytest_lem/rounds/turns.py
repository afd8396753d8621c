"""Which side's turn it is, and whether what is left can still be judged."""

from collections.abc import Sequence
from typing import Literal

from pytest_lem.analysis.gating import LEAST_SESSIONS, alternating

Side = Literal["base", "head"]


def turns(rounds: int) -> list[Side]:
    """So many of each: base head, head base, base head, ...

    Each side is as often the first of its pair as the other, so that what drifts in a
    line hits both alike.
    """
    pairs: tuple[tuple[Side, Side], ...] = (("base", "head"), ("head", "base"))
    return [side for k in range(rounds) for side in pairs[k % 2]]


def in_turn(sides: Sequence[str]) -> bool:
    """Whether sessions in this order may be held against each other in turn."""
    places: dict[str, list[float]] = {"base": [], "head": []}
    for k, side in enumerate(sides):
        places[side].append(k)
    return alternating(places["base"], places["head"])


def enough(sides: Sequence[str]) -> bool:
    """Whether sessions of one suite are enough to tell their noise."""
    return len(sides) >= LEAST_SESSIONS
