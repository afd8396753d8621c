"""What meters gave, on the disk and back."""

import gzip
import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pytest_lem.meters import Device, Reading, Telemetry
from pytest_lem.meters.replay import ReplayMeter
from pytest_lem.meters.timeline import Timeline
from pytest_lem.meters.trace import Mark, read_trace, tape
from pytest_lem.meters.trace.recording import save
from pytest_lem.meters.trace.recount import Recount
from pytest_lem.meters.trace.tape import Tape

TRACE = Path(__file__).parents[1] / "data" / "h100_llm_trace.json.gz"
GPU = Device(id="GPU-a", scope="gpu", name="Some GPU", boundary="module")


@pytest.fixture
def make_tape(tmp_path):
    def make(device=GPU, basis="measured"):
        made = Tape(tmp_path / "spool")
        made.add(0, "nvml", basis, device)
        return made

    return make


def reading(time_s, **value):
    return Reading(device="GPU-a", before_s=time_s, after_s=time_s + 0.003, **value)


def test_readings_come_back_as_they_were(make_tape, tmp_path):
    """Every kind, to the last bit, also where a thousandfold is no round number."""
    told = [
        reading(1.1, energy_j=2640.15),
        reading(1.2, energy_j=1 / 3 + 2640, power_w=71.3),
        Reading(device="GPU-a", before_s=1.05, after_s=1.05, ring_w=72.442),
        Reading(device="GPU-a", before_s=1.07, after_s=1.07, ring_w=72.5),
    ]
    facts = Telemetry(
        device="GPU-a",
        time_s=1.1,
        power_w=71.3,
        temperature_c=50,
        memory_used_mb=480 * 1.048576,
        throttle_reasons=("sw_power_cap", "hw_thermal"),
        pstate=0,
    )
    slowed = Telemetry(device="GPU-a", time_s=1.2, throttle_ns={"thermal": 10**15 + 1})
    made = make_tape()
    made.take(0, [*told, facts, slowed])
    (track,) = read_trace(save(made, tmp_path / "out", "x", {}).trace).tracks
    assert track.device == GPU
    assert (track.meter, track.basis) == ("nvml", "measured")
    assert [one.energy_j for one in track.counter] == pytest.approx(
        [told[0].energy_j, told[1].energy_j], rel=1e-15
    )
    assert [(one.before_s, one.after_s) for one in track.counter] == [
        (one.before_s, one.after_s) for one in told[:2]
    ]
    assert track.power == [reading(1.2, power_w=71.3)]
    assert track.ring == told[2:]
    assert track.telemetry == [facts]
    assert track.throttle == [slowed]


def test_marks_come_back_with_what_they_belong_to(make_tape, tmp_path):
    """In the trace and in Parquet, where fields have columns of their own."""
    mark = Mark(
        name="window",
        start_s=1.5,
        end_s=2.5,
        devices=("GPU-a",),
        about={"experiment": "t.py::test", "cycle": 1, "window": 0, "kind": "energy"},
    )
    made = make_tape()
    made.take(0, [reading(1.0 + k, energy_j=100.0 * k) for k in range(3)])
    made.mark(mark)
    files = save(made, tmp_path / "out", "x", {"driver": "1.2"})
    trace = read_trace(files.trace)
    assert trace.marks == [mark]
    assert trace.meta == {"driver": "1.2"}
    (row,) = pq.read_table(files.marks).to_pylist()
    assert row == {
        "name": "window",
        "start_s": 1.5,
        "end_s": 2.5,
        "devices": ["GPU-a"],
        "attempt": None,
        "state": None,
        **mark.about,
    }


def test_columns_have_units_and_nulls(make_tape, tmp_path):
    """Power of samples and of counter steps; facts that a driver does not have."""
    made = make_tape()
    made.take(0, [reading(1 + 0.1 * k, energy_j=20.0 * k) for k in range(10)])
    made.take(0, [Telemetry(device="GPU-a", time_s=1.5, power_w=200.0)])
    files = save(made, tmp_path / "out", "x", {})
    (facts,) = pq.read_table(files.telemetry).to_pylist()
    assert (facts["device"], facts["time_s"], facts["power_w"]) == ("GPU-a", 1.5, 200.0)
    assert facts["temperature_c"] is facts["throttle_thermal_ns"] is None
    steps = pq.read_table(files.power).to_pylist()
    assert len(steps) == 8
    assert {step["source"] for step in steps} == {"counter"}
    assert [step["power_w"] for step in steps] == pytest.approx([200.0] * 8, rel=0.02)
    assert sum(step["span_s"] for step in steps) == pytest.approx(0.8, abs=0.01)


def test_what_is_no_number_is_left_out(make_tape, tmp_path):
    """A broken meter does not make a file that nobody can read."""
    made = make_tape()
    made.take(0, [reading(1.0 + k, energy_j=float(k)) for k in range(3)])
    made.take(0, [reading(4.0, energy_j=math.nan), reading(5.0, power_w=math.inf)])
    made.take(0, [Telemetry(device="GPU-a", time_s=1.0, temperature_c=math.nan)])
    (track,) = read_trace(
        save(made, tmp_path / "out", "x", {"facts": [math.nan, GPU]}).trace
    ).tracks
    assert len(track.counter) == 3
    assert track.power == []
    assert track.telemetry[0].temperature_c is None


def test_a_device_that_told_nothing_is_left_out(make_tape, tmp_path):
    """The others can be recounted without it."""
    made = make_tape()
    made.add(1, "rapl", "measured", Device(id="cpu", scope="cpu", name="CPU"))
    made.take(0, [reading(1.0 + k, energy_j=float(k)) for k in range(3)])
    tracks = read_trace(save(made, tmp_path / "out", "x", {}).trace).tracks
    assert [track.device.id for track in tracks] == ["GPU-a"]


def test_facts_of_a_gpu_that_is_not_metered_are_kept(make_tape, tmp_path):
    """They have no energy to tell, and a row each in Parquet."""
    made = make_tape()
    made.take(0, [reading(1.0 + k, energy_j=float(k)) for k in range(3)])
    made.take(0, [Telemetry(device="GPU-b", time_s=1.0, temperature_c=50.0)])
    files = save(made, tmp_path / "out", "x", {})
    assert [one.device.id for one in read_trace(files.trace).tracks] == ["GPU-a"]
    (row,) = pq.read_table(files.telemetry).to_pylist()
    assert (row["meter"], row["device"]) == ("nvml", "GPU-b")
    assert row["temperature_c"] == 50.0


def test_readings_are_on_the_disk_before_there_are_many(
    make_tape, tmp_path, monkeypatch
):
    """Memory holds what came since the last flush, and never more than its bound."""
    monkeypatch.setattr(tape, "_MOST_PENDING", 100)
    made = make_tape()
    rows = tmp_path / "spool" / "device-0-reads"
    made.take(0, [reading(1.0, energy_j=1.0)])
    assert not rows.exists()
    made.flush()
    assert len(rows.read_text().splitlines()) == 1
    for k in range(50):
        made.take(0, [reading(2.0 + k, energy_j=2.0)] * 5)
    assert len(rows.read_text().splitlines()) > 150
    save(made, tmp_path / "out", "x", {})
    assert not rows.parent.exists()


def test_a_disk_that_takes_nothing_ends_the_recording(make_tape, tmp_path):
    """It is told once, at the end; measuring goes on without."""
    (tmp_path / "spool").write_text("in the way")
    made = make_tape()
    made.take(0, [reading(1.0, energy_j=1.0)])
    made.flush()
    made.take(0, [reading(2.0, energy_j=1.0)])
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        save(made, tmp_path / "out", "x", {})
    assert not (tmp_path / "out").exists()


class Hand:
    """A clock that stands where it is put."""

    now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def played(make_tape):
    """The recorded GPU played onto a tape and, as a session does, onto a timeline."""
    clock = Hand()
    meter = ReplayMeter(TRACE, clock)
    (device,) = meter.devices()
    made, timeline, early = make_tape(device, meter.basis), Timeline(device), {}
    while clock.now_s < 1090:
        readings, telemetry, _ = meter.poll()
        for one in readings:
            timeline.add(one)
        made.take(0, [*readings, *telemetry])
        clock.now_s += 0.5
        start_s = clock.now_s - 3
        early[start_s] = timeline.energy(start_s, start_s + 1.7)
        timeline.trim(clock.now_s - 60)
    return made, timeline, early


def test_a_recount_has_the_energies_of_the_session(played, tmp_path):
    """Those of a timeline that was filled and trimmed as time went on."""
    made, timeline, early = played
    recount = Recount(read_trace(save(made, tmp_path, "x", {}).trace))
    late = [span for span in early.values() if span.start_s > 1040]
    assert len(late) > 90
    for span in late:
        again = timeline.energy(span.start_s, span.end_s)
        told = recount.energy(span.start_s, span.end_s)
        assert told.gross_j == pytest.approx(again.energy_j, rel=1e-9)
        assert told.uncertainty_j == pytest.approx(again.uncertainty_j, rel=1e-6)
        assert told.method == again.method == "counter_ring"


def test_what_was_cut_before_the_lag_was_known_differs_within_its_uncertainty(
    played, tmp_path
):
    """The whole trace knows the lag better than the session did at the time."""
    made, _, early = played
    recount = Recount(read_trace(save(made, tmp_path, "x", {}).trace))
    known = [span for span in early.values() if span.energy_j is not None]
    apart = [
        abs(recount.energy(span.start_s, span.end_s).gross_j - span.energy_j)
        / span.uncertainty_j
        for span in known
    ]
    assert max(apart) > 1e-9
    assert max(apart) < 1


def test_the_tape_is_what_the_documented_format_says(make_tape, tmp_path):
    """Rows of numbers under the keys of the page, one device an object."""
    made = make_tape()
    made.take(0, [reading(1.0 + k, energy_j=0.5 * k) for k in range(3)])
    page = save(made, tmp_path / "out", "x", {}).trace
    data = json.loads(gzip.decompress(page.read_bytes()))
    (device,) = data["devices"]
    assert device["reads"][1] == [2.0, 2.003, 500]
    told = {"id", "scope", "name", "boundary", "meter", "basis", "refresh_s"}
    told.add("violation_fields")
    assert set(device) == told | {"reads", "power", "ring", "telemetry", "violation"}
