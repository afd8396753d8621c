"""Whether a meter can be believed here: counter against ring, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from pytest_lem.analysis.stats import summarise
from pytest_lem.meters.metering import Metering

AGREEMENT = 0.05
_LEAST_PAIRS = 3
_BLOCK_S = 0.3
_SETTLED_S = 1.0
_FIRST_STEPS = 50

Verdict = Literal["verified", "unverified", "unchecked"]


class Work(Protocol):
    """Work that is done on demand; `device` is what it is done on."""

    device: str

    def do(self, what: str, amount: float, within_s: float) -> tuple[float, float]:
        """When `load` for so many seconds, or so many `steps`, began and ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Counter and ring of a device over one span; in `reason` why there is none."""

    state: Literal["idle", "load"]
    device: str | None
    counter_j: float | None = None
    ring_j: float | None = None
    difference_pct: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """How much slower a loop of small launches is while the meter is sampled.

    `slowdown_pct` is the mean over interleaved pairs, with its 95 % interval.
    """

    pairs: int = 0
    device: str | None = None
    slowdown_pct: float | None = None
    low_pct: float | None = None
    high_pct: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheck:
    """What the self-check of a meter found."""

    verdict: Verdict
    comparisons: tuple[Comparison, ...]
    overhead: Overhead


def self_check(
    opened: Callable[[], AbstractContextManager[Metering]],
    work: Work | str,
    *,
    seconds: float,
    wait: Callable[[float], None] = time.sleep,
) -> SelfCheck:
    """Check a meter for about so long; `work` is what can be done, or why nothing.

    A meter is verified where counter and ring of each device are within 5 % in every
    span in which both can be compared, unverified where they are not, and unchecked
    where there is nothing to compare.
    """
    part_s = seconds / 4
    with opened() as metering:
        start_s = time.monotonic()
        wait(part_s)
        found = [*_compared(metering, "idle", start_s, start_s + part_s)]
        found += _under_load(metering, work, part_s)
    if isinstance(work, str):
        overhead = Overhead(reason=work)
    else:
        overhead = _overhead(opened, work, 2 * part_s, wait)
    return SelfCheck(
        verdict=_verdict(found), comparisons=tuple(found), overhead=overhead
    )


def _under_load(
    metering: Metering, work: Work | str, seconds: float
) -> Iterator[Comparison]:
    reason = None
    if isinstance(work, str):
        reason = work
    elif metering.basis != "measured":
        reason = f"{metering.basis} energy does not depend on what runs here"
    elif work.device != "cuda":
        reason = "no GPU that work could be put on"
    if reason is not None or isinstance(work, str):
        yield Comparison(state="load", device=None, reason=reason)
        return
    # The first products are slow, and a GPU overshoots until its limit is kept.
    work.do("load", 1.0, 1.0)
    start_s, end_s = work.do("load", seconds, seconds)
    yield from _compared(metering, "load", start_s, end_s)


def _compared(
    metering: Metering, state: Literal["idle", "load"], start_s: float, end_s: float
) -> Iterator[Comparison]:
    metering.settle(end_s)
    reading = metering.energy(start_s, end_s)
    gpus = [row for row in reading.per_device if row["scope"] == "gpu"]
    if not gpus:
        yield Comparison(state=state, device=None, reason="no GPU, and so no ring")
    for row in gpus:
        device, counter_j = row["device"], row["energy_j"]
        ring_j, reason = metering.ring_energy(start_s, end_s, devices=[device])
        difference_pct = None
        if counter_j and ring_j is not None:
            difference_pct = 100 * (ring_j / counter_j - 1)
        reason = row["reason"] or reason or "counter_unchanged"
        yield Comparison(
            state=state,
            device=device,
            counter_j=counter_j,
            ring_j=ring_j,
            difference_pct=difference_pct,
            reason=reason if difference_pct is None else None,
        )


def _verdict(found: list[Comparison]) -> Verdict:
    known = [one.difference_pct for one in found if one.difference_pct is not None]
    if not known:
        return "unchecked"
    apart = max(abs(difference_pct) for difference_pct in known)
    return "verified" if apart <= 100 * AGREEMENT else "unverified"


def _overhead(
    opened: Callable[[], AbstractContextManager[Metering]],
    work: Work,
    seconds: float,
    wait: Callable[[float], None],
) -> Overhead:
    """Blocks without and with the meter in turn; which comes first changes."""
    start_s, end_s = work.do("steps", _FIRST_STEPS, _BLOCK_S)
    steps = max(round(_FIRST_STEPS * _BLOCK_S / (end_s - start_s)), 1)

    def block() -> float:
        # A processor that has waited is slow at first.
        work.do("steps", max(steps // 2, 1), _BLOCK_S)
        start_s, end_s = work.do("steps", steps, _BLOCK_S)
        return end_s - start_s

    def sampled() -> float:
        with opened():
            wait(_SETTLED_S)
            return block()

    end_s = time.monotonic() + seconds
    slowdowns: list[float] = []
    while len(slowdowns) < _LEAST_PAIRS or time.monotonic() < end_s:
        if len(slowdowns) % 2:
            on_s, off_s = sampled(), block()
        else:
            off_s, on_s = block(), sampled()
        slowdowns.append(100 * (on_s / off_s - 1))
    summary = summarise(slowdowns, "%")
    return Overhead(
        pairs=summary.n,
        device=work.device,
        slowdown_pct=summary.mean,
        low_pct=summary.ci_low,
        high_pct=summary.ci_high,
    )
