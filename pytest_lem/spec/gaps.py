"""Time that is left between experiments, for machines to come to rest."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """Seconds of waiting: between experiments, and where the next pass begins."""

    experiment_s: float = 0.0
    cycle_s: float = 0.0

    def before(self, cycle: int, previous: int | None) -> float:
        """The wait before a cycle of that number, after one of the number before it.

        Nothing waits before the first. A higher number is another pass, or, of an
        experiment whose cycles follow one another, its next.
        """
        if previous is None:
            return 0.0
        return self.cycle_s if cycle > previous else self.experiment_s

    def __str__(self) -> str:
        """The gaps in words, as the header has them."""
        if not (self.experiment_s or self.cycle_s):
            return "no gaps"
        return f"gaps {self.experiment_s:g} s, between cycles {self.cycle_s:g} s"


NO_GAPS = Gaps()
