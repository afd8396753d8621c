"""Whether energy is as certain as asked for."""

from pytest_lem.records.record import Window

UNCERTAIN = "uncertain_energy"


def uncertain(
    energy_j: float | None, uncertainty_j: float | None, limit_pct: float
) -> bool:
    """Whether the half-width at 95 % is above that part of the energy.

    Not where there is no energy, or where its meter states no uncertainty.
    """
    if energy_j is None or uncertainty_j is None:
        return False
    return uncertainty_j > limit_pct / 100 * energy_j


def judged(window: Window, limit_pct: float) -> Window:
    """The window, flagged where its energy is less certain than that."""
    energy = window.energy
    if not uncertain(energy.gross_j, energy.uncertainty_j, limit_pct):
        return window
    return window.model_copy(update={"flags": [*window.flags, UNCERTAIN]})
