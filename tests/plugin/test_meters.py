"""Meters of a project, end to end, and what a record says of several at once."""

import pytest

METER = """
import math
import time
from pytest_lem.meters import Device, Reading

class Wall:
    name, version, basis = "wall", "7", "measured"
    accuracy = "1 % of the reading"
    period_s = 0.05

    def __init__(self, argument, gpus):
        self.power_w = float(argument)
        self.start_s = time.monotonic()

    def devices(self):
        return [Device(id="socket", scope="cpu", name="wall socket", refresh_s=0.05)]

    def poll(self):
        before_s = time.monotonic()
        energy_j = self.power_w * (before_s - self.start_s)
        after_s = time.monotonic()
        reading = Reading(
            device="socket", before_s=before_s, after_s=after_s, energy_j=energy_j
        )
        return [reading], [], 0.02

    def facts(self):
        return {"socket": "left"}

    def close(self):
        pass

def pytest_lem_register_meters(registry):
    registry.add("wall", Wall)
"""

SOURCE = """
import pytest

@pytest.mark.lem(output_tokens=12)
def test_it(lem):
    lem()
"""

SLOW = ("--lem-set=fake.token_s=0.1", "--lem-cycles=1", "--lem-json=r.json")


def windows(record):
    return record.experiments[0].cycles[0].windows


def test_a_meter_of_a_conftest_is_used_by_name(run, extend, report):
    """Its joules, its name, its accuracy and its facts are in the record."""
    extend(METER)
    run(SOURCE, "--lem-meter=wall:70", *SLOW).assert_outcomes(passed=1)
    (window,) = windows(report())
    (told,) = report().session.meters
    assert window.energy.gross_j == pytest.approx(70 * window.duration_s, rel=0.1)
    assert (window.energy.meter, window.energy.scope) == ("wall", ["cpu"])
    assert window.energy.basis == "measured"
    assert (told["version"], told["accuracy"]) == ("7", "1 % of the reading")
    assert told["facts"] == {"socket": "left"}


def test_a_meter_of_a_conftest_that_tells_nonsense_gives_no_number(run, extend, report):
    """Energy is null, flagged, and the record says whose fault it is."""
    extend(METER)
    run(SOURCE, "--lem-meter=wall:nan", *SLOW).assert_outcomes(passed=1)
    (cycle,) = report().experiments[0].cycles
    assert cycle.windows[0].energy.gross_j is None
    assert set(cycle.windows[0].flags) >= {"sampler_failed", "readings_refused"}
    reason = report().session.meters[0]["sampler"]["reason"]
    assert reason.startswith("MeterError: wall: socket told nan")


def test_a_meter_of_a_conftest_that_cannot_be_made_is_one_line(run, extend):
    """What its factory raises is a usage error with its name, and no traceback."""
    extend(METER)
    result = run(SOURCE, "--lem-meter=wall:x", *SLOW)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: wall: making it raised ValueError: could*"])
    result.stderr.no_fnmatch_line("*Traceback*")


def test_a_second_meter_of_a_scope_is_a_cross_check_in_the_record(run, report):
    """Two fake meters: the first tells, and 10 % apart is flagged and explained."""
    result = run(SOURCE, "--lem-meter=fake:100,fake:110", *SLOW)
    result.assert_outcomes(passed=1)
    (window,) = windows(report())
    (row,) = window.energy.crosscheck
    assert window.energy.gross_j == pytest.approx(100 * window.duration_s)
    assert len(window.energy.per_device) == 1
    assert row["energy_j"] == pytest.approx(110 * window.duration_s)
    assert row["difference_pct"] == pytest.approx(10)
    assert "meters_disagree" in window.flags
    result.stdout.fnmatch_lines(["*meters_disagree: two meters of the same thing*"])


def test_carbon_and_pue_are_factors_beside_the_energy(run, report):
    """Joules are as measured; both factors are in the record, and in the grams."""
    factors = ("--lem-carbon-intensity=400", "--lem-pue=1.5")
    run(SOURCE, "--lem-meter=fake:100", *factors, *SLOW).assert_outcomes(passed=1)
    (window,), record = windows(report()), report()
    grams = record.experiments[0].cycles[0].metrics["emissions_g_co2e"]
    assert window.energy.gross_j == pytest.approx(100 * window.duration_s)
    assert grams == pytest.approx(window.energy.gross_j / 3.6e6 * 400 * 1.5)
    assert record.session.carbon == {
        "intensity_g_per_kwh": 400,
        "source": "setting",
        "pue": 1.5,
    }


def test_a_modelled_energy_is_marked_wherever_it_is_shown(run, report):
    """CodeCarbon's figures carry a tilde and a flag, and give the grid's carbon."""
    pytest.importorskip("codecarbon")
    result = run(SOURCE, "--lem-meter=codecarbon", *SLOW, "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*PASSED ~* J/token*", "*estimated_energy: energy is a model's estimate*"]
    )
    (window,) = windows(report())
    assert (window.energy.basis, window.energy.scope) == ("estimated", ["cpu", "dram"])
    assert report().session.carbon["source"] == "meter"
