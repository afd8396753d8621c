"""How good a model's words are: perplexity, from what it makes of a text's tokens."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Tokens `start` to `end` of a text, of which the last `counted` are judged."""

    start: int
    end: int
    counted: int


def stretches(tokens: int, *, window: int, stride: int) -> Iterator[Stretch]:
    """A text in windows of so many tokens, each `stride` after the one before.

    Each token but the first is judged once, by the first window that has it; the
    tokens before it in that window are what it is judged by.
    """
    judged = 1
    for start in range(0, tokens, stride):
        end = min(start + window, tokens)
        if end > judged:
            yield Stretch(start=start, end=end, counted=end - judged)
        judged = end
        if end == tokens:
            return


def perplexity(log_probabilities: Iterable[float]) -> float | None:
    """Exponential of the mean negative log-probability; None of none, or if infinite.

    Natural logarithms, one for each token.
    """
    told = list(log_probabilities)
    if not told or not all(map(math.isfinite, told)):
        return None
    mean = math.fsum(told) / len(told)
    return math.exp(-mean) if -mean < math.log(1e300) else None
