"""Energy between two instants where a driver's power samples shape the counter."""

import json
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pytest_lem.meters import Device, Reading
from pytest_lem.meters.timeline import Timeline
from pytest_lem.meters.trace import whole_trace

ROOT = Path(__file__).parents[2]
TRACE = ROOT / "tests" / "data" / "h100_llm_trace.json.gz"
STEP_S = 0.1


def add(timeline, time_s, **value):
    timeline.add(Reading(device="g", before_s=time_s, after_s=time_s, **value))


def square_w(time_s):
    """400 W and 100 W in turn, 170 ms each."""
    return 400.0 if int(time_s / 0.17) % 2 == 0 else 100.0


def square_j(time_s):
    whole, rest_s = divmod(time_s, 0.34)
    return whole * 0.17 * 500 + 400 * min(rest_s, 0.17) + 100 * max(rest_s - 0.17, 0)


def filled(
    *,
    power_w=square_w,
    energy_j=square_j,
    end_s=12.0,
    lag_s=0.0,
    gain=1.0,
    silent=(0.0, 0.0),
    counter=True,
    power=False,
):
    """A timeline of that power: counter steps, and samples half a spacing old."""
    timeline = Timeline(Device(id="g", scope="gpu", name="g"))
    if counter:
        for tick in range(int(end_s / 0.01)):
            time_s = tick * 0.01 + 0.005
            step = int(time_s / STEP_S)
            add(timeline, time_s, energy_j=energy_j(step * STEP_S))
    for tick in range(int(end_s / 0.02) if power else 0):
        add(timeline, tick * 0.02, power_w=power_w(tick * 0.02))
    for tick in range(1, int(end_s / 0.02)):
        time_s = tick * 0.02
        if not silent[0] < time_s < silent[1]:
            mean_w = (energy_j(time_s + 0.01) - energy_j(time_s - 0.01)) / 0.02
            add(timeline, time_s + lag_s, ring_w=gain * mean_w)
    return timeline


def flat(**kwargs):
    return filled(power_w=lambda t: 200.0, energy_j=lambda t: 200.0 * t, **kwargs)


def test_the_recorded_h100_holds_every_bound(tmp_path):
    """Steady load, any span, square waves and stated uncertainties, on the trace."""
    told = tmp_path / "told.json"
    script = ROOT / "benchmarks" / "perf" / "perf_timeline.py"
    done = subprocess.run(
        [sys.executable, script, TRACE, "--spans", "2000", "--json", told],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads(told.read_text())
    rows = {row["name"]: row for row in data["figures"]}
    assert len(rows) == 11
    assert rows["anywhere, 0.2 s: p95"]["most"] == 9.0
    assert rows["anywhere, 0.2 s: p95"]["two_point"] > 40
    assert 0.005 < data["lag_s"] < 0.015


def test_parts_of_a_shaped_span_add_up_to_it():
    """Shaped or not, energy is a difference of one function of time."""
    timeline = whole_trace(TRACE)
    draw = random.Random(2)
    cuts = sorted([60.0, 150.0, *(draw.uniform(60, 150) for _ in range(300))])
    parts = [timeline.energy(a, b).energy_j for a, b in pairwise(cuts)]
    whole = timeline.energy(60.0, 150.0)
    assert whole.method == "counter_ring"
    assert sum(parts) == pytest.approx(whole.energy_j, rel=1e-12)


def test_parts_add_up_across_a_hole_in_the_ring():
    """Steps told by the ring and steps told by time alone meet without a seam."""
    timeline = filled(silent=(5.0, 5.6))
    cuts = [4.013, 4.99, 5.01, 5.33, 5.61, 7.777]
    parts = [timeline.energy(a, b).energy_j for a, b in pairwise(cuts)]
    assert sum(parts) == pytest.approx(timeline.energy(4.013, 7.777).energy_j)


def test_the_ring_tells_when_inside_a_step_energy_was_spent():
    """Phases of 170 ms come out as well as samples 20 ms apart can tell them.

    Those at both ends of a phase hold a part of its neighbours, here 7 % each.
    """
    shaped, plain = filled(), filled(silent=(-1.0, 99.0))
    lows = [(k * 0.34 + 0.17, k * 0.34 + 0.34) for k in range(6, 30)]
    assert {shaped.energy(*low).method for low in lows} == {"counter_ring"}
    assert {plain.energy(*low).method for low in lows} == {"counter_interpolated"}
    errors = {
        name: np.median([abs(line.energy(*low).power_w / 100 - 1) for low in lows])
        for name, line in (("shaped", shaped), ("plain", plain))
    }
    assert errors["shaped"] < 0.15
    assert errors["plain"] > 2 * errors["shaped"]


@pytest.mark.parametrize("lag_s", [-0.008, 0.0, 0.012, 0.031])
def test_the_lag_is_found_in_the_data(lag_s):
    """However late the ring's stamps are, the shift that fits is recorded."""
    ring = filled(lag_s=lag_s).describe()["ring"]
    assert ring["lag_s"] == pytest.approx(lag_s, abs=0.002)
    assert ring["lag_steps"] > 30
    assert ring["spacing_s"] == pytest.approx(0.02)


def test_even_power_tells_no_lag():
    """Where nothing changes the lag is unknown, and does not matter."""
    timeline = flat(lag_s=0.012)
    assert timeline.describe()["ring"]["lag_s"] is None
    assert timeline.energy(2.03, 5.07).energy_j == pytest.approx(608, rel=1e-6)


def test_a_lag_beyond_all_candidates_is_unknown():
    """The rim of what was tried is no measurement."""
    assert filled(lag_s=0.085).describe()["ring"]["lag_s"] is None


def test_a_device_without_a_ring_speaks_of_none():
    """The record names a ring only where there is one."""
    timeline = filled(silent=(-1.0, 99.0))
    assert timeline.describe() == {"id": "g", "scope": "gpu", "name": "g"}


def test_a_hole_in_the_ring_is_flagged_and_bridged_by_time():
    """An end inside the hole falls back on interpolation, and says so."""
    timeline = flat(silent=(5.0, 5.6))
    inside, across = timeline.energy(4.0, 5.33), timeline.energy(4.03, 7.0)
    assert (inside.method, inside.flags) == ("counter_interpolated", ("ring_gap",))
    assert (across.method, across.flags) == ("counter_ring", ("ring_gap",))
    assert timeline.energy(6.0, 7.5).flags == ()


@pytest.mark.parametrize(("gain", "flags"), [(1.1, True), (0.9, True), (1.02, False)])
def test_a_ring_that_disagrees_is_flagged_from_a_second_on(gain, flags):
    """Over 5 % apart is said; the counter keeps the word on how much."""
    timeline = flat(gain=gain)
    span = timeline.energy(2.0, 4.03)
    assert ("counter_ring_disagree" in span.flags) == flags
    assert span.energy_j == pytest.approx(406, rel=1e-6)
    assert "counter_ring_disagree" not in timeline.energy(2.0, 2.9).flags


def test_disagreement_widens_the_uncertainty():
    """What counter and ring do not agree on is not known that well."""
    even, odd = flat(), flat(gain=1.04)
    assert (
        odd.energy(2.03, 4.07).uncertainty_j > 2 * even.energy(2.03, 4.07).uncertainty_j
    )


def test_the_ring_alone_is_a_second_opinion():
    """Its own joules, moved by its lag and not scaled to the counter."""
    timeline = filled(gain=1.04, lag_s=0.012)
    ring_j, reason = timeline.ring_energy(4.13, 9.31)
    assert ring_j == pytest.approx(1.04 * (square_j(9.31) - square_j(4.13)), rel=5e-3)
    assert reason is None
    assert timeline.energy(4.13, 9.31).energy_j == pytest.approx(
        square_j(9.31) - square_j(4.13), rel=5e-3
    )


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"silent": (-1.0, 99.0)}, "no_ring"),
        ({"counter": False}, "no_counter"),
        ({"silent": (5.0, 5.6)}, "ring_gap"),
    ],
)
def test_without_a_second_opinion_there_is_a_reason(made, reason):
    """No ring, nothing beside it, or a hole in it."""
    assert flat(**made).ring_energy(4.0, 7.0) == (None, reason)


def test_without_a_counter_the_ring_is_integrated():
    """The ring goes before polled power, which steps in where the ring is silent."""
    timeline = flat(counter=False, power=True, silent=(5.0, 5.6))
    held, lost = timeline.energy(2.0, 4.0), timeline.energy(4.5, 6.5)
    assert (held.method, lost.method) == ("ring_integrated", "power_integrated")
    assert held.energy_j == pytest.approx(400)
    assert lost.energy_j == pytest.approx(400)


def test_a_ring_alone_has_energy_too():
    """Neither counter nor polled power is needed, and nothing is extrapolated."""
    timeline = flat(counter=False)
    assert timeline.energy(2.0, 4.0).method == "ring_integrated"
    assert timeline.energy(2.0, 40.0).reason == "not_covered"


def test_samples_handed_on_twice_count_once():
    """A stamp that is not newer than the last is dropped."""
    once, twice = flat(), flat()
    for time_s in (11.9, 11.5, 11.98):
        add(twice, time_s, ring_w=900.0)
    assert twice.energy(11.43, 11.81) == once.energy(11.43, 11.81)


def test_covers_waits_for_the_samples_but_not_for_ever():
    """An instant is known once its step is shaped, or the ring has fallen silent."""
    assert not flat(end_s=5.0, silent=(4.5, 9.0)).covers(4.55)
    assert flat(end_s=5.0, silent=(4.7, 9.0)).covers(4.55)
    assert flat(end_s=7.0, silent=(4.5, 9.0)).covers(4.55)


def test_past_the_outermost_edges_the_samples_tell_for_a_step_and_no_more():
    """One function of time still: parts on both sides of an edge add up."""
    timeline = filled()
    reach_s = [(0.05, 3.0), (3.0, 11.94)]
    parts = [timeline.energy(*span) for span in reach_s]
    whole = timeline.energy(0.05, 11.94)
    assert sum(part.energy_j for part in parts) == pytest.approx(whole.energy_j)
    assert whole.energy_j == pytest.approx(square_j(11.94) - square_j(0.05), rel=0.005)
    assert whole.method == "counter_ring"
    within = timeline.energy(0.2, 11.84)
    assert whole.uncertainty_j > within.uncertainty_j
    assert timeline.energy(-0.1, 3.0).reason == "not_covered"
    assert timeline.energy(0.02, 0.08).reason == "not_covered"
    without = filled(silent=(0.0, 0.5))
    assert without.energy(0.05, 3.0).reason == "not_covered"


def test_trim_keeps_what_shapes_the_rest():
    """After a trim, spans from then on are what they were."""
    timeline = filled()
    before = timeline.energy(5.03, 8.0)
    timeline.trim(5.0)
    assert timeline.energy(5.03, 8.0) == before
    assert timeline.energy(2.0, 3.0).reason == "not_covered"
