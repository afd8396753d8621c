"""In which order things run: pass by pass, one engine's experiments side by side."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

ORDERS = ("interleaved", "shuffled", "reversed", "latin_square", "grouped")


def neighbours(keys: Sequence[str]) -> list[int]:
    """Positions with equal keys brought together, in order of first appearance."""
    return [i for group in _groups(keys).values() for i in group]


def turn(
    keys: Sequence[str],
    order: str,
    seed: int,
    cycle: int,
    names: Sequence[str] = (),
) -> list[int]:
    """Positions in the order of pass `cycle`; equal keys stay neighbours.

    `shuffled` draws a new order for each pass from the seed, the same on every
    machine, of the engines and of the experiments within each. `latin_square` takes
    the rows of a Williams design in turn, one of the engines and one of the
    experiments within each; the seed says which of them is which in the design. Both
    draw by names, so that the order of collection does not matter, or by positions.
    """
    names = names or [str(i) for i in range(len(keys))]
    if order == "shuffled":
        engine = {key: _draw(seed, cycle, key) for key in keys}
        return sorted(
            range(len(keys)),
            key=lambda i: (engine[keys[i]], keys[i], _draw(seed, cycle, names[i])),
        )
    if order == "latin_square":
        return _latin(_groups(keys), names, seed, cycle)
    ahead = neighbours(keys)
    return ahead[::-1] if order == "reversed" else ahead


def williams_row(n: int, k: int) -> list[int]:
    """Row `k` of a Williams design of `n` treatments, each row followed by its mirror.

    The rows begin anew after `williams_period(n)`; in so many each treatment is
    equally often in each place, and directly behind each other one.
    """
    zigzag = [(j + 1) // 2 if j % 2 else -(j // 2) for j in range(n)]
    pair, mirrored = divmod(k % williams_period(n), 2)
    row = [(pair + step) % n for step in zigzag]
    return row[::-1] if mirrored else row


def williams_period(n: int) -> int:
    """How many rows a Williams design has: `n` of an even number, else twice as many.

    The rows of an even number are mirrors of each other already.
    """
    return max(1, n if n % 2 == 0 else 2 * n)


def derived_seed(identities: Iterable[str]) -> int:
    """A seed from what is measured, whatever the place, the time and the file order."""
    told = "\n".join(sorted(identities))
    return int.from_bytes(hashlib.sha256(told.encode()).digest()[:4])


def _latin(
    groups: Mapping[str, Sequence[int]], names: Sequence[str], seed: int, cycle: int
) -> list[int]:
    engines = sorted(groups, key=lambda name: (_draw(seed, 0, name), name))
    found: list[int] = []
    for k in williams_row(len(engines), cycle):
        among = sorted(groups[engines[k]], key=lambda i: _draw(seed, 0, names[i]))
        found += [among[j] for j in williams_row(len(among), cycle)]
    return found


def _groups(keys: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for i, key in enumerate(keys):
        found.setdefault(key, []).append(i)
    return found


def _draw(seed: int, cycle: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{cycle}:{name}".encode()).digest()
