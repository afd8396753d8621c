"""Energy of prefill, decode and request in a window whose tokens were stamped."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_lem.analysis.latency import Stamps, distribution
from pytest_lem.analysis.metrics import ratio, total
from pytest_lem.analysis.split import Phase, Piece, Split, split
from pytest_lem.engines import Generation
from pytest_lem.meters.energy import EnergyReading
from pytest_lem.meters.metering import Metering

# A phase whose energy may be wrong by half is not told apart from its neighbours; nor
# is one within a counter's step that no power samples shape.
UNRESOLVED_SHARE = 0.5
RESOLVED_PERIODS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A window in pieces, with the energy of each, and why what is null is.

    `ring` is what the power samples alone say of the window, or why they do not.
    """

    split: Split
    read: list[tuple[Piece, EnergyReading]]
    whole: EnergyReading
    ring: tuple[float | None, str | None]
    nulls: dict[str, str] = field(default_factory=dict)

    def of(self, phase: Phase) -> list[EnergyReading]:
        """The readings of one phase."""
        return [reading for piece, reading in self.read if piece.phase == phase]


def split_of(generation: Generation, *, left_out: int = 0) -> Split:
    """A pass in phases by its stamps; the `left_out` first requests are in neither."""
    stamps = [
        Stamps(one.sent_ns, one.ended_ns, one.token_ns)
        for one in generation.completions
    ]
    return split(generation.start_ns, generation.end_ns, stamps, left_out=left_out)


def cut_of(
    generation: Generation,
    metering: Metering,
    devices: Collection[str],
    *,
    left_out: int = 0,
) -> Cut | str:
    """A pass in phases with the energy of each, or why it cannot be cut."""
    found = split_of(generation, left_out=left_out)
    return found.reason or read(found, metering, devices)


def phases(
    cut: Cut | str,
    generation: Generation,
    *,
    period_s: float,
    left_out: int = 0,
    unstamped: str = "no_token_stamps",
) -> tuple[dict[str, Any], list[str]]:
    """What prefill and decode took in a pass, or why that is not known; and flags.

    `cut` is without the `left_out` first requests, which warm up; `unstamped` is the
    reason where there are no stamps, `period_s` that of the meter.
    """
    done = generation.completions
    if isinstance(cut, str):
        bare = cut == "no_token_stamps"
        if bare and any(one.token_ns for one in done):
            unstamped = "failed_without_tokens"
        return {"available": False, "reason": unstamped if bare else cut}, []
    block = measured(
        cut,
        input_tokens=sum(one.input_tokens for one in done[left_out:]),
        output_tokens=sum(one.output_tokens - 1 for one in done[left_out:]),
    )
    return block, list(_flags(cut, block, period_s))


def read(found: Split, metering: Metering, devices: Collection[str]) -> Cut:
    """The energy of each piece of a window, and of all of it."""
    start_s, end_s = found.pieces[0].start_s, found.pieces[-1].end_s
    return Cut(
        split=found,
        read=[
            (piece, metering.energy(piece.start_s, piece.end_s, devices=devices))
            for piece in found.pieces
        ],
        whole=metering.energy(start_s, end_s, devices=devices),
        ring=metering.ring_energy(start_s, end_s, devices=devices),
    )


def measured(cut: Cut, *, input_tokens: int, output_tokens: int) -> dict[str, Any]:
    """Time, tokens, energy, power and rates of each phase of a window.

    `output_tokens` are those after the first of each request. Half-widths of one phase
    add up: what errs is mostly common to all its spans, as the lag of the power samples
    is. `nulls` has the reason of each null.
    """
    return {
        "available": True,
        "reason": None,
        "method": "token_stamps",
        "prefill": _phase(cut, "prefill", "input", input_tokens),
        "decode": _phase(cut, "decode", "output", output_tokens),
        "other": {
            "duration_s": cut.split.duration_s("other"),
            "energy_j": _energy_j(cut, "other"),
        },
        "closure": _closure(cut),
        "request_energy_j": _requests(cut),
        "nulls": cut.nulls,
    }


def _phase(
    cut: Cut, name: Phase, token: Literal["input", "output"], count: int
) -> dict[str, Any]:
    duration_s, energy_j = cut.split.duration_s(name), _energy_j(cut, name)
    found = {
        "duration_s": duration_s,
        f"{token}_tokens": count,
        "energy_j": energy_j,
        "uncertainty_j": _half_width_j(cut, name),
        "power_w": ratio(energy_j, duration_s),
        f"{token}_tps": ratio(count, duration_s),
        f"energy_per_{token}_token_j": ratio(energy_j, count),
    }
    reason = cut.nulls.get(f"{name}.energy_j", "divisor_is_zero")
    for key, value in found.items():
        if value is None:
            cut.nulls.setdefault(f"{name}.{key}", reason)
    return found


def _energy_j(cut: Cut, name: Phase) -> float | None:
    """A phase that takes no time takes no energy, where energy is known at all."""
    readings = cut.of(name) or [cut.whole]
    lacking = next((one.reason for one in readings if one.gross_j is None), None)
    if lacking is not None:
        cut.nulls[f"{name}.energy_j"] = lacking
        return None
    return total(one.gross_j for one in cut.of(name)) or 0.0


def _half_width_j(cut: Cut, name: Phase) -> float | None:
    known = cut.whole.uncertainty_j is not None
    if not cut.of(name):
        return 0.0 if known else None
    if not known and cut.whole.gross_j is not None:
        cut.nulls[f"{name}.uncertainty_j"] = "not_stated_by_meter"
    return total(one.uncertainty_j for one in cut.of(name))


def _closure(cut: Cut) -> dict[str, float | None] | None:
    """The power samples alone, over all phases, against the counter over the window.

    The phases partition the window, so the samples' integrals over them add up to that
    over the window.
    """
    counter_j, (ring_j, reason) = cut.whole.gross_j, cut.ring
    if counter_j is None or ring_j is None:
        cut.nulls["closure"] = cut.whole.reason or reason or "unknown"
        return None
    if not counter_j:
        cut.nulls["closure"] = "nothing_drawn"
        return None
    return {
        "ring_j": ring_j,
        "counter_j": counter_j,
        "error_pct": 100 * (ring_j / counter_j - 1),
    }


def _requests(cut: Cut) -> dict[str, Any] | None:
    """Energy of each request, where no two were in the engine at once."""
    if any(len(members) > 1 for members in cut.split.members):
        cut.nulls["request_energy_j"] = "requests_share_a_batch"
        return None
    energies: dict[int, list[float | None]] = {}
    for piece, reading in cut.read:
        if piece.span is not None:
            energies.setdefault(piece.span, []).append(reading.gross_j)
    sums = [total(energies[span]) for span in sorted(energies)]
    known = [energy_j for energy_j in sums if energy_j is not None]
    found = distribution(known) if len(known) == len(sums) else None
    if found is None:
        lacking = (one.reason for _, one in cut.read if one.reason)
        cut.nulls["request_energy_j"] = next(lacking, "no_requests")
    return found


def _flags(cut: Cut, block: dict[str, Any], period_s: float) -> Iterator[str]:
    for name in ("prefill", "decode"):
        energy_j, width_j = block[name]["energy_j"], block[name]["uncertainty_j"]
        vague = width_j is not None and energy_j is not None
        within = _interpolated(cut, name) and (
            block[name]["duration_s"]
            < RESOLVED_PERIODS * period_s * len(cut.split.of(name))
        )
        if within or (vague and width_j > UNRESOLVED_SHARE * energy_j):
            yield "phases_unresolved"
            return


def _interpolated(cut: Cut, name: Literal["prefill", "decode"]) -> bool:
    return any("interpolated" in (one.method or "") for one in cut.of(name))
