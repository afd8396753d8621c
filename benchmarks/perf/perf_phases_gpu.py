"""Whether the energy of short phases on a GPU adds up to what the counter says.

    python benchmarks/perf/perf_phases_gpu.py [--seconds 60] [--json FILE]

Needs one NVIDIA GPU and torch. A process of its own does large matrix products and many
small ones in turn, as prefill and decode do, for 0.15 to 1.5 s each, and stamps each
change with the device synchronised. The phases are cut from the timeline, and from the
driver's power samples alone, which know nothing of the counter.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gpu_bench import Counter, Figure, Load, Ring, Tap, finish, the_gpu, told

from pytest_lem.meters.metering import Metering

LIMIT_PCT = 2.0
SETTLE_S = 1.5

Joules = Callable[[float, float], float]
Phase = tuple[str, float, float]


def off_pct(value: float, reference: float) -> float:
    """By how many percent one is off the other."""
    return 100 * abs(value / reference - 1)


def figures(
    phases: Sequence[Phase], ours: Joules, counter: Counter, ring: Ring, lag_s: float
) -> list[Figure]:
    """Sums over all phases against the counter, and each kind both ways."""

    def ring_j(start_s: float, end_s: float) -> float:
        return ring.energy_j(start_s + lag_s, end_s + lag_s)

    def total(energy_j: Joules, kinds: Sequence[str]) -> float:
        return sum(energy_j(a, b) for kind, a, b in phases if kind in kinds)

    kinds = list(dict.fromkeys(kind for kind, _, _ in phases))
    counted_j = counter.energy_j(phases[0][1], phases[-1][2])
    found = [
        Figure(
            name=f"sum of all phases, {name}, against the counter",
            value=off_pct(total(energy_j, kinds), counted_j),
            unit="%",
            n=len(phases),
            limit=LIMIT_PCT,
        )
        for name, energy_j in (("timeline", ours), ("samples alone", ring_j))
    ]
    for kind in kinds:
        own = [(a, b) for name, a, b in phases if name == kind]
        energy_j, length_s = total(ours, [kind]), sum(b - a for a, b in own)
        apart_pct = off_pct(energy_j, total(ring_j, [kind]))
        found += [
            Figure(
                name=f"{kind} products: power, timeline",
                value=energy_j / length_s,
                unit="W",
                n=len(own),
            ),
            Figure(
                name=f"{kind} products: timeline against samples",
                value=apart_pct,
                unit="%",
                n=len(own),
            ),
        ]
    return found


def phases_of(marks: Sequence[dict[str, Any]]) -> list[Phase]:
    """The load's marks in seconds."""
    return [(m["name"], m["start_ns"] / 1e9, m["end_ns"] / 1e9) for m in marks]


def main() -> int:
    """Measure, show, and say by the exit status whether all bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="default: 60")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    one = the_gpu("torch")
    tap = Tap(one)
    methods: dict[str, int] = {}
    with Load(one, "phases", str(arguments.seconds)) as load, Metering([tap]) as meters:
        time.sleep(SETTLE_S)
        phases = phases_of(load.ask())
        time.sleep(SETTLE_S)
        meters.settle(phases[-1][2])

        def ours(start_s: float, end_s: float) -> float:
            reading = meters.energy(start_s, end_s)
            if reading.gross_j is None:
                sys.exit(f"a phase has no energy: {reading.reason}")
            methods[str(reading.method)] = methods.get(str(reading.method), 0) + 1
            return reading.gross_j

        (device,) = meters.describe()[0]["devices"]
        lag_s = device.get("ring", {}).get("lag_s") or 0.0
        found = figures(phases, ours, tap.counter(), tap.ring(), lag_s)
    facts = {
        **told(one),
        "lag of the samples": f"{lag_s * 1e3:.1f} ms",
        "methods": ", ".join(methods),
    }
    return finish(found, facts, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
