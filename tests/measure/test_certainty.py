"""Energy that is less certain than asked for."""

import pytest

from pytest_lem.measure.certainty import uncertain
from pytest_lem.meters.fake import FakeMeter
from pytest_lem.records.assemble import all_flags


class Coarse(FakeMeter):
    """The fake meter, whose counter may be a while behind: so are its edges."""

    def __init__(self, behind_s):
        super().__init__(100.0)
        self.behind_s = behind_s

    def poll(self):
        from dataclasses import replace

        readings, told, wait_s = super().poll()
        late = [replace(r, after_s=r.after_s + self.behind_s) for r in readings]
        return late, told, wait_s


@pytest.mark.parametrize(
    ("energy_j", "uncertainty_j", "found"),
    [
        (100.0, 1.0, False),
        (100.0, 1.1, True),
        (0.0, 0.1, True),
        (0.0, 0.0, False),
        (None, 0.1, False),
        (100.0, None, False),
    ],
)
def test_what_is_above_the_limit_is_uncertain(energy_j, uncertainty_j, found):
    """Of 1 %; what is not stated is another matter."""
    assert uncertain(energy_j, uncertainty_j, 1.0) is found


@pytest.mark.parametrize(
    ("limit_pct", "windows", "cycle"),
    [(50.0, 0, False), (10.0, 3, False), (1.0, 3, True)],
)
def test_a_window_may_be_uncertain_and_its_cycle_not(
    make_lab, experiment, measure, limit_pct, windows, cycle
):
    """The cycle pools its windows, and is flagged by their sum alone."""
    lab = make_lab(Coarse(0.02), max_uncertainty_pct=limit_pct)
    kept = measure(lab, experiment(script={"prefill_s": 0.1}, effort={"windows": 3}))
    flagged = [w for w in kept.windows if "uncertain_energy" in w.flags]
    assert len(flagged) == windows
    assert ("uncertain_energy" in all_flags(kept)) is cycle


def test_each_window_says_how_densely_it_was_observed(make_lab, experiment, measure):
    """Points seen of those expected, in all and by device."""
    one = experiment(script={"prefill_s": 1.0}, effort={"windows": 1})
    (window,) = measure(make_lab(FakeMeter(100.0)), one).windows
    quality = window.energy.quality
    assert abs(quality["samples"] - quality["expected"]) <= 1
    assert quality["expected"] == pytest.approx(10.0, rel=0.05)
    assert quality["largest_gap_s"] == pytest.approx(0.1, rel=0.05)
    assert window.energy.per_device[0]["quality"] == quality
