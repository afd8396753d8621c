"""Power over time: what is drawn of the readings beside a report."""

import pytest

from pytest_lem.meters import Device, Reading, Telemetry
from pytest_lem.meters.trace import Mark
from pytest_lem.meters.trace.recording import save
from pytest_lem.meters.trace.tape import Tape
from pytest_lem.report.html.sections.thinning import spread_out, thinned
from pytest_lem.report.html.sections.timeline import NOT_KEPT, power
from tests.store.making import cycle

GPU = Device(id="GPU-a", scope="gpu", name="Some GPU", boundary="module")
OWN = {"experiment": "t.py::a", "cycle": 0}


def mark(name, start_s, end_s, **about):
    return Mark(name=name, start_s=start_s, end_s=end_s, about={**OWN, **about})


@pytest.fixture
def kept(tmp_path):
    """Files of readings of one GPU at 100 W, with marks, as a record names them."""

    def make(marks, telemetry=(), seconds=20):
        tape = Tape(tmp_path / "spool")
        tape.add(0, "nvml", "measured", GPU)
        for k in range(seconds * 10):
            at_s = k / 10
            energy_j = 100.0 * at_s + (50.0 if at_s > 11.05 else 0.0)
            step = Reading(
                device="GPU-a", before_s=at_s, after_s=at_s, energy_j=energy_j
            )
            tape.take(0, [step])
        tape.take(0, telemetry)
        for one in marks:
            tape.mark(one)
        files = save(tape, tmp_path / "traces", "s", {})
        return {
            "path": str(files.telemetry.relative_to(tmp_path)),
            "power_path": str(files.power.relative_to(tmp_path)),
            "marks_path": str(files.marks.relative_to(tmp_path)),
            "trace_path": str(files.trace.relative_to(tmp_path)),
        }

    return make


def lanes(chart):
    return {one["name"]: one for one in chart.data if one["type"] == "bar"}


def test_windows_phases_and_idle_stand_below_the_power(kept, show):
    """In seconds since the warm-up began; what other cycles did is not there."""
    files = kept(
        [
            mark("idle", 6.0, 7.0, state="model_loaded"),
            mark("warmup", 8.0, 9.5),
            mark("window", 10.0, 12.0, window=0),
            mark("prefill", 10.0, 10.5, window=0),
            mark("window", 15.0, 16.0, window=0, cycle=1),
        ]
    )
    (chart,) = power(show(cycle(), timeseries=files)).charts
    found = lanes(chart)
    assert set(found) == {"idle", "warm-up", "window", "prefill"}
    assert (found["window"]["base"], found["window"]["x"]) == ([2.0], [2.0])
    assert found["idle"]["base"] == [-2.0]
    (line,) = [one for one in chart.data if one["type"] == "scatter"]
    assert max(line["x"]) == pytest.approx(4.5, abs=0.2)
    assert max(line["y"]) == pytest.approx(600.0)
    assert line["line"]["shape"] == "vh"
    assert "600 W" in chart.told


def test_what_slowed_a_device_down_is_marked(kept, show):
    """By its samples, and by counters that have grown; being idle is no such thing."""
    told = [
        Telemetry(device="GPU-a", time_s=10.0, throttle_reasons=("gpu_idle",)),
        Telemetry(device="GPU-a", time_s=10.1, throttle_reasons=("hw_thermal",)),
        Telemetry(device="GPU-a", time_s=10.2, throttle_reasons=("hw_thermal",)),
        Telemetry(device="GPU-a", time_s=10.3, throttle_reasons=()),
        Telemetry(device="GPU-a", time_s=10.4, throttle_ns={"sw_power_cap": 5}),
        Telemetry(device="GPU-a", time_s=10.5, throttle_ns={"sw_power_cap": 9}),
    ]
    files = kept([mark("window", 9.0, 12.0, window=0)], told)
    found = lanes(power(show(cycle(), timeseries=files)).charts[0])
    assert set(found) == {"window", "slowed: hw_thermal", "slowed: sw_power_cap"}
    assert found["slowed: hw_thermal"]["base"] == [1.0]
    assert found["slowed: hw_thermal"]["x"] == pytest.approx([0.2])
    assert found["slowed: sw_power_cap"]["x"] == pytest.approx([0.1])


def test_without_readings_windows_have_their_means(show):
    """And the page says how to keep them."""
    (chart,) = power(show(cycle())).charts
    assert chart.told == f"Mean power of 2 windows. {NOT_KEPT}"
    assert chart.data[0]["y"] == [250.05, 250.05, None, 250.05, 250.05, None]


def test_files_that_are_gone_or_are_none_are_told(show, tmp_path):
    """The record is shown all the same."""
    files = dict.fromkeys(
        ("path", "power_path", "marks_path", "trace_path"), "no.parquet"
    )
    (chart,) = power(show(cycle(), timeseries=files)).charts
    assert "cannot be read" in chart.told
    (tmp_path / "no.parquet").write_bytes(b"nothing")
    (chart,) = power(show(cycle(), timeseries=files)).charts
    assert "cannot be read" in chart.told


def test_nothing_is_drawn_where_no_energy_is_known(show):
    """The reason stands there instead."""
    unknown = {"gross_j": None}
    windows = [
        one.model_copy(update={"energy": one.energy.model_copy(update=unknown)})
        for one in cycle().windows
    ]
    nulls = {"windows.energy.gross_j": "no_meter"}
    bare = cycle().model_copy(update={"windows": windows, "nulls": nulls})
    (chart,) = power(show(bare)).charts
    assert not chart.drawn
    assert "no_meter" in chart.missing


@pytest.mark.parametrize("spike", [0, 1, 4711, 99_998, 99_999])
def test_thinning_loses_no_peak(spike):
    """Of 100,000 points 1,000 are left, wherever the peak and the dip are."""
    times = [k / 1000 for k in range(100_000)]
    values = [float(k % 7) for k in range(100_000)]
    values[spike], values[50_000] = 1e3, -1e3
    kept = thinned(times, values, buckets=500)
    assert {spike, 50_000, 0, 99_999} <= set(kept)
    assert len(kept) <= 1002
    assert kept == sorted(set(kept))


def test_points_in_order_are_spread_out_with_both_ends():
    """All of them where there are few."""
    assert spread_out(3, 5) == [0, 1, 2]
    assert spread_out(101, 5) == [0, 25, 50, 75, 100]
