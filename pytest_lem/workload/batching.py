"""Which prompts go into one batch together."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_lem.errors import ConfigError


def layout(
    lengths: Sequence[int],
    *,
    size: int,
    strategy: str = "static",
    max_tokens: int | None = None,
) -> list[list[int]]:
    """Places of the prompts of each batch, in the order in which they run.

    No batch has more than `size` prompts. A `dynamic` one has no more than `max_tokens`
    either, counted as they are computed: each row as long as the longest. `sorted_*`
    puts the longest prompts first, so that what needs most memory is found out at once.
    Raises ConfigError where one prompt alone is above the limit.
    """
    places = list(range(len(lengths)))
    if strategy.startswith("sorted_"):
        places.sort(key=lambda place: -lengths[place])
    if not strategy.endswith("dynamic"):
        return [places[k : k + size] for k in range(0, len(places), size)]
    if max_tokens is None:
        msg = f"batching strategy {strategy} needs max_tokens_per_batch"
        raise ConfigError(msg)
    return _within(places, lengths, size, max_tokens)


def _within(
    places: Sequence[int], lengths: Sequence[int], size: int, max_tokens: int
) -> list[list[int]]:
    batches: list[list[int]] = []
    widest = 0
    for place in places:
        if lengths[place] > max_tokens:
            msg = (
                f"prompt {place} has {lengths[place]} tokens, above "
                f"max_tokens_per_batch={max_tokens}"
            )
            raise ConfigError(msg)
        width = max(widest, lengths[place])
        count = len(batches[-1]) + 1 if batches else 1
        if batches and count <= size and width * count <= max_tokens:
            batches[-1].append(place)
            widest = width
        else:
            batches.append([place])
            widest = lengths[place]
    return batches
