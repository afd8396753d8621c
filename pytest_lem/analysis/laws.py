"""Laws that every measured number obeys: what breaks one is a fault, not a result."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_lem.analysis.bandwidth import Memory, too_fast
from pytest_lem.analysis.metrics import product, ratio, total

POWER_EXCESS = 0.10
# A power limit is kept by control: an H100 with 700 W drew 874 W over a recorded 0.1 s
# and 799 W over 0.2 s, by its own counter.
POWER_EXCESS_SHORT = 1.0
CONTROLLED_S = 1.0
ROUNDING = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEnergy:
    """What one device drew in a window; None where that is not known."""

    device: str
    scope: str
    energy_j: float | None
    uncertainty_j: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a window claims, and the parts that its claims are sums of.

    `gross_j` sums the devices of `scope`. `request_tokens` has input and output tokens
    of each request. `batches` is empty where the engine does not tell its batches.
    `phases` has seconds and joules of each part, and is empty where it was not cut.
    `attributed_j` is what its requests were given of its energy together.
    `least_steps` are the fewest passes through the model that its tokens take.
    """

    name: str
    duration_s: float
    gross_j: float | None
    scope: Sequence[str]
    devices: Sequence[DeviceEnergy]
    requests: int
    batches: Sequence[int]
    input_tokens: int
    output_tokens: int
    request_tokens: Sequence[tuple[int, int]]
    phases: Sequence[tuple[float, float | None]] = ()
    least_steps: int = 0
    attributed_j: float | None = None


def broken_laws(
    accounts: Sequence[Account],
    metrics: Mapping[str, float | None],
    power_limits_w: Mapping[str, float],
    memory: Memory | None = None,
) -> list[str]:
    """A line for each law that a cycle's windows and metrics break, with the numbers.

    Numbers that do not exist break no law, nor do GPUs whose limit is not known.
    `memory` is None where what a step reads, or its GPUs' bandwidth, is not known.
    """
    lines: list[str] = []
    for one in accounts:
        lines += _power_limit(one, power_limits_w)
        lines += _energy_sum(one)
        lines += _phase_sum(one)
        lines += _attribution_sum(one)
        lines += _counts(one)
        if memory is not None:
            lines += too_fast(one.name, one.least_steps, one.duration_s, memory)
    return [*lines, *_power_of_tokens(metrics)]


def _power_limit(one: Account, limits_w: Mapping[str, float]) -> Iterator[str]:
    """Mean power is not far above the limit, even at the interval's low end.

    Not by over 10 %, or within a second, in which real GPUs overshoot, not twice it.
    What may be right within its uncertainty is not impossible.
    """
    controlled = one.duration_s >= CONTROLLED_S
    most = 1 + (POWER_EXCESS if controlled else POWER_EXCESS_SHORT)
    for device in one.devices:
        limit_w = limits_w.get(device.device)
        if limit_w is None or device.energy_j is None:
            continue
        least_j = device.energy_j - (device.uncertainty_j or 0.0)
        if least_j > limit_w * most * one.duration_s:
            yield (
                f"power_limit: {one.name}: {device.device} drew "
                f"{device.energy_j:.6g} J in {one.duration_s:.6g} s, at least "
                f"{least_j:.6g} J, and its limit is {limit_w:g} W"
            )


def _energy_sum(one: Account) -> Iterator[str]:
    """Gross energy is the sum of its devices'."""
    parts_j = total(d.energy_j for d in one.devices if d.scope in one.scope)
    if not _agree(parts_j, one.gross_j):
        yield (
            f"energy_sum: {one.name}: its devices drew {parts_j:.6g} J together and "
            f"its gross energy is {one.gross_j:.6g} J"
        )


def _phase_sum(one: Account) -> Iterator[str]:
    """Prefill, decode and the rest are the window, in seconds and in joules."""
    for what, parts, whole in (
        ("s", [seconds for seconds, _ in one.phases], one.duration_s),
        ("J", [energy_j for _, energy_j in one.phases], one.gross_j),
    ):
        summed = total(parts)
        if not _agree(summed, whole):
            yield (
                f"phase_sum: {one.name}: its phases are {summed:.6g} {what} together "
                f"and the window is {whole:.6g} {what}"
            )


def _attribution_sum(one: Account) -> Iterator[str]:
    """What the requests of a window are given is its energy."""
    if not _agree(one.attributed_j, one.gross_j):
        yield (
            f"attribution_sum: {one.name}: its requests are given "
            f"{one.attributed_j:.6g} J together and it drew {one.gross_j:.6g} J"
        )


def _counts(one: Account) -> Iterator[str]:
    """Requests add up over batches, tokens over requests."""
    found = [
        ("requests", one.requests, len(one.request_tokens)),
        ("input tokens", one.input_tokens, sum(k for k, _ in one.request_tokens)),
        ("output tokens", one.output_tokens, sum(k for _, k in one.request_tokens)),
    ]
    if one.batches:
        found.append(("requests of its batches", one.requests, sum(one.batches)))
    for what, told, counted in found:
        if told != counted:
            yield f"count: {one.name}: {told} {what} told, {counted} counted"


def _power_of_tokens(metrics: Mapping[str, float | None]) -> Iterator[str]:
    """Energy per token x tokens per second = power, and so over duration."""
    for kind in ("output", "total"):
        energy_j = metrics.get(f"energy_per_{kind}_token_j")
        speed_tps = metrics.get(f"{kind}_throughput_tps")
        power_w = metrics.get("avg_power_w")
        product_w = product(energy_j, speed_tps)
        if not _agree(product_w, power_w):
            yield (
                f"token_power: {energy_j:.6g} J per {kind} token x {speed_tps:.6g} "
                f"token/s is {product_w:.6g} W and power is {power_w:.6g} W"
            )
    gross_j, duration_s = metrics.get("energy_gross_j"), metrics.get("duration_s")
    power_w, mean_w = metrics.get("avg_power_w"), ratio(gross_j, duration_s)
    if not _agree(mean_w, power_w):
        yield (
            f"mean_power: {gross_j:.6g} J in {duration_s:.6g} s is {mean_w:.6g} W and "
            f"power is {power_w:.6g} W"
        )


def _agree(one: float | None, other: float | None) -> bool:
    """Whether two numbers are equal but for rounding, or one does not exist."""
    if one is None or other is None:
        return True
    return abs(one - other) <= ROUNDING * max(abs(one), abs(other))
