"""Fewer points of a line than there are, so that no peak of it is lost."""

from collections.abc import Sequence
from itertools import pairwise

BUCKETS = 500


def thinned(
    times: Sequence[float], values: Sequence[float], buckets: int = BUCKETS
) -> list[int]:
    """Places of the points to draw: of each stretch of time its least and its most.

    The first and the last are among them. All are, where there are so few.
    """
    import numpy as np

    count = len(times)
    if count <= 2 * buckets:
        return list(range(count))
    edges = np.linspace(times[0], times[-1], buckets + 1)[1:-1]
    starts = [0, *np.searchsorted(times, edges).tolist(), count]
    kept = {0, count - 1}
    for start, end in pairwise(starts):
        if start < end:
            own = np.asarray(values[start:end])
            kept |= {start + int(own.argmin()), start + int(own.argmax())}
    return sorted(kept)


def spread_out(count: int, most: int) -> list[int]:
    """Places of at most so many of `count` points in order, the ends among them."""
    if count <= most:
        return list(range(count))
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]
