"""Whether two engines said the same: tokens of equal prompts, and how sure each was."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came of a prompt: token ids, and the log-probability of each, if known."""

    token_ids: Sequence[int]
    log_probabilities: Sequence[float | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far two agree over their answers to equal prompts.

    Of `requests`, `identical` have the same tokens. `match_rate` is the share of places
    with the same token on both sides, of all that either has. `first_divergence` is the
    mean number of tokens before the first that differs, over answers that differ.
    `log_probability_distance` is the mean absolute difference of what both give the
    same tokens after the same ones, over so many `compared_tokens`: those before the
    first that differs. None where there is nothing to say it of.
    """

    requests: int
    identical: int
    tokens: int
    match_rate: float | None
    first_divergence: float | None
    compared_tokens: int
    log_probability_distance: float | None


def agreement(pairs: Iterable[tuple[Said, Said]]) -> Agreement:
    """Over the answers of two sides to the same prompts."""
    matched = tokens = requests = 0
    diverged: list[int] = []
    distances: list[float] = []
    for one, other in pairs:
        mine, its = one.token_ids, other.token_ids
        same = common_prefix(mine, its)
        requests += 1
        tokens += max(len(mine), len(its))
        matched += sum(a == b for a, b in zip(mine, its, strict=False))
        if same < max(len(mine), len(its)):
            diverged.append(same)
        distances += _distances(one, other, same)
    return Agreement(
        requests=requests,
        identical=requests - len(diverged),
        tokens=tokens,
        match_rate=matched / tokens if tokens else None,
        first_divergence=_mean(diverged),
        compared_tokens=len(distances),
        log_probability_distance=_mean(distances),
    )


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two answers begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    shorter = min(len(one), len(other))
    return next((k for k, (a, b) in pairs if a != b), shorter)


def _distances(one: Said, other: Said, same: int) -> list[float]:
    mine, its = one.log_probabilities or (), other.log_probabilities or ()
    pairs = zip(mine[:same], its[:same], strict=False)
    return [abs(a - b) for a, b in pairs if a is not None and b is not None]


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
