"""What `lem meters` tells people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from pytest_lem.meters.selfcheck import Comparison, Overhead, SelfCheck
from pytest_lem.meters.survey import Finding, GpuFinding

_VERDICTS = {
    "verified": "counter and power samples agree within 5 %",
    "unverified": "counter and power samples differ by over 5 %",
    "unchecked": "there is nothing to hold it against",
}


class Named(Protocol):
    """Meters by their names, and what their numbers are worth."""

    @property
    def names(self) -> Sequence[str]:
        """Of each that is at work."""

    @property
    def basis(self) -> str | None:
        """The worst of theirs; None without meters."""


def named(metering: Named | None) -> str:
    """The meters of a session in words, with what their numbers are worth."""
    if metering is None:
        return "not opened"
    names = ", ".join(metering.names) or "none"
    return (
        names if metering.basis in (None, "measured") else f"{names} ({metering.basis})"
    )


def lines(one: Finding) -> Iterator[str]:
    """A meter's name and what it reads, or why it cannot, and the details below."""
    if not one.works:
        yield f"{one.name}: no"
        yield f"    {one.reason}"
    else:
        guess = "~" if one.basis == "estimated" else ""
        powers = ", ".join(
            f"{scope} {guess}{power:.1f} W"
            for scope, power in (one.power_w or {}).items()
        )
        yield f"{one.name}: {one.basis}, {powers}"
        yield f"    devices: {', '.join(one.devices)}"
        yield (
            f"    new every {1000 * (one.period_s or 0):.0f} ms; sampling takes "
            f"{one.core_share_pct or 0:.1f} % of one core"
        )
        yield f"    {one.accuracy}"
    for gpu in one.gpus:
        yield f"    {gpu.device}: {'; '.join(_gpu(gpu))}"
    if one.self_check is not None:
        yield from _check(one.self_check)


def _gpu(one: GpuFinding) -> Iterator[str]:
    power = "power unknown" if one.power_w is None else f"{one.power_w:.1f} W now"
    yield power
    if one.period_s is not None:
        yield f"new every {1e3 * one.period_s:.1f} ms"
    if one.read_ms is not None:
        median_ms, p99_ms = one.read_ms["median"], one.read_ms["p99"]
        yield f"a read takes {median_ms:.2f} ms (p99 {p99_ms:.1f})"
    if one.slow_reads:
        yield f"reads over 10 ms: {one.slow_reads}"
    if one.missed_edges:
        yield f"edges missed: {one.missed_edges}"
    if one.ring is not None:
        yield _ring(one.ring)


def _ring(ring: Mapping[str, float | None]) -> str:
    spacing_s, lag_s = ring["spacing_s"], ring["lag_s"]
    spacing = "?" if spacing_s is None else f"{1e3 * spacing_s:.1f}"
    lag = "lag unknown" if lag_s is None else f"{1e3 * lag_s:.1f} ms late"
    return f"power samples every {spacing} ms, {lag}"


def _check(check: SelfCheck) -> Iterator[str]:
    yield f"    self-check: {check.verdict}, {_VERDICTS[check.verdict]}"
    for one in check.comparisons:
        yield f"        {one.state}: {_comparison(one)}"
    yield f"        sampling: {_overhead(check.overhead)}"


def _comparison(one: Comparison) -> str:
    device = f"{one.device}: " if one.device else ""
    if one.difference_pct is None:
        return f"{device}not compared, {one.reason}"
    return (
        f"{device}counter {one.counter_j:.1f} J, samples {one.ring_j:.1f} J "
        f"({one.difference_pct:+.2f} %)"
    )


def _overhead(one: Overhead) -> str:
    if one.slowdown_pct is None:
        return f"cost not measured, {one.reason}"
    return (
        f"it changes the time of small launches on {one.device} by "
        f"{one.slowdown_pct:+.2f} % ({one.low_pct:+.2f} to {one.high_pct:+.2f}, "
        f"{one.pairs} pairs)"
    )
