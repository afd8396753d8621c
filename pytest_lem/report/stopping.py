"""How precise cycles became whose number was open, and how many more it would take."""

from typing import Any


def told(found: dict[str, Any]) -> str:
    """What of an experiment that was to go on until it is precise enough."""
    asked = f"±{found['asked_pct']:g} % asked"
    if found["reached_pct"] is None:
        return f"{asked}, and no interval in {found['cycles']} cycles"
    got = f"±{found['reached_pct']:.2g} % of {found['metric']}"
    got += f" in {found['cycles']} cycles, {asked}"
    if found["reached"]:
        return got
    needed = found["needed_cycles"]
    return f"{got}; it would take about {needed}" if needed else f"{got}; far from it"
