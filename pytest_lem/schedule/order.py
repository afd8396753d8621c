"""In which order things run: pass by pass, one engine's experiments side by side."""

import hashlib
from collections.abc import Sequence

ORDERS = ("interleaved", "shuffled", "reversed", "grouped")


def neighbours(keys: Sequence[str]) -> list[int]:
    """Positions with equal keys brought together, in order of first appearance."""
    first = {key: keys.index(key) for key in keys}
    return sorted(range(len(keys)), key=lambda i: first[keys[i]])


def turn(keys: Sequence[str], order: str, seed: int, cycle: int) -> list[int]:
    """Positions in the order of pass `cycle`; equal keys stay neighbours.

    `shuffled` draws a new order for each pass from the seed, the same on every
    machine, of the engines and of the experiments within each.
    """
    if order == "shuffled":
        engine = {key: _draw(seed, cycle, key) for key in keys}
        return sorted(
            range(len(keys)),
            key=lambda i: (engine[keys[i]], keys[i], _draw(seed, cycle, str(i))),
        )
    ahead = neighbours(keys)
    return ahead[::-1] if order == "reversed" else ahead


def _draw(seed: int, cycle: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{cycle}:{name}".encode()).digest()
