"""What each GPU draws beside another, held against what it draws alone."""

from dataclasses import dataclass

from pytest_lem.analysis.compare import Ratio, ratio

METRIC = "energy_per_output_token_j"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A GPU's joules per token beside another, over those alone.

    `stated` is the relative half-width of a cycle's energy by its meter.
    """

    device: str
    found: Ratio
    stated: float

    @property
    def coupled(self):
        """Whether the two differ by more than is stated of them."""
        low, high = self.found.low / (1 + self.stated), self.found.high
        return not low <= 1 <= high * (1 + self.stated)

    def __str__(self):
        """One line, with the coupling where there is one."""
        percent = [100 * (one - 1) for one in self._three()]
        word = "COUPLED" if self.coupled else "as alone"
        return (
            "{}: beside another {:+.2f} % ({:+.2f} to {:+.2f}; meter +-{:.2f} %): {}"
        ).format(self.device, *percent, 100 * self.stated, word)

    def _three(self):
        return self.found.value, self.found.low, self.found.high


def by_device(reports):
    """Of each GPU the joules per token of its cycles, and how sure its meter is."""
    values, stated = {}, {}
    for report in reports:
        for one in report.experiments:
            for cycle in one.cycles:
                energies = [window.energy for window in cycle.windows]
                ((device,),) = {
                    tuple(row["device"] for row in energy.per_device)
                    for energy in energies
                }
                total_j = sum(energy.gross_j for energy in energies)
                wide_j = sum(energy.uncertainty_j**2 for energy in energies) ** 0.5
                values.setdefault(device, []).append(cycle.metrics[METRIC])
                stated.setdefault(device, []).append(wide_j / total_j)
    return values, {device: max(found) for device, found in stated.items()}


def compared(alone, together):
    """Each GPU's ratio, from reports of it alone and of all at once."""
    before, stated = by_device(alone)
    after, more = by_device(together)
    assert set(before) == set(after)
    return [
        Beside(
            device=device,
            found=ratio(before[device], after[device]),
            stated=max(stated[device], more[device]),
        )
        for device in sorted(before)
    ]


def overlap(report):
    """The share of the shorter of two experiments in which the other ran as well."""
    spans = [
        (windows[0].start_s, windows[-1].start_s + windows[-1].duration_s)
        for one in report.experiments
        for windows in [[w for cycle in one.cycles for w in cycle.windows]]
    ]
    (first, last), (start, end) = spans
    both_s = min(last, end) - max(first, start)
    return max(both_s, 0.0) / min(last - first, end - start)
