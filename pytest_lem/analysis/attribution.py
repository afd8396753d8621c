"""A window's energy divided over its requests: an attribution, never a measurement.

Requests that are in an engine at once share its power, and no meter tells them apart.
What they share is divided by the tokens that each of them had in flight. The shares of
all requests are the window's energy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

from pytest_lem.analysis.split import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """The tokens of one request; `decoded` are those out after the first of each text.

    The first token out belongs to prefill.
    """

    input_tokens: int
    output_tokens: int
    decoded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What was drawn in a stretch of a window, in J, and the places of its requests.

    Of `other`, which is nobody's, they are all requests of the window.
    """

    phase: Phase
    energy_j: float
    requests: Sequence[int]


def by_tokens(energy_j: float, requests: Sequence[Flight]) -> list[float]:
    """J of each request, by its tokens in and out; a token in costs one out here."""
    places = range(len(requests))
    return by_phase_tokens(
        [Drawn(phase="other", energy_j=energy_j, requests=places)], requests
    )


def by_phase_tokens(parts: Sequence[Drawn], requests: Sequence[Flight]) -> list[float]:
    """J of each request: prefill by tokens in, decode by tokens out, the rest by all.

    A part whose requests had no such token is divided equally among them.
    """
    shares = [0.0 for _ in requests]
    for part in parts:
        weights = [_weight(part.phase, requests[k]) for k in part.requests]
        whole = sum(weights)
        if not whole:
            weights, whole = list(repeat(1, len(weights))), len(weights)
        for place, weight in zip(part.requests, weights, strict=True):
            shares[place] += part.energy_j * weight / whole
    return shares


def _weight(phase: Phase, one: Flight) -> int:
    if phase == "prefill":
        return one.input_tokens
    if phase == "decode":
        return one.decoded
    return one.input_tokens + one.output_tokens
