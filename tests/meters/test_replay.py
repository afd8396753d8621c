"""Recorded traces."""

import gzip
import json
import time
from pathlib import Path

import pytest

from pytest_lem.errors import MeterError
from pytest_lem.meters.opening import open_meters
from pytest_lem.meters.replay import ReplayMeter
from pytest_lem.meters.telemetry import TelemetryLog
from pytest_lem.meters.timeline import Timeline
from pytest_lem.meters.trace import whole_trace

TRACE = Path(__file__).parents[1] / "data" / "h100_llm_trace.json.gz"


class Hand:
    """A clock that stands where it is put."""

    now_s = 1000.0

    def __call__(self):
        return self.now_s


def write(path, counter, telemetry=(), ring=()):
    trace = {"counter": counter, "telemetry": list(telemetry), "ring": list(ring)}
    path.write_text(json.dumps(trace))
    return path


def steps(count, watts=100.0, start_s=5.0):
    return [
        [start_s + i * 0.1, start_s + i * 0.1 + 0.002, 1e6 + 100 * watts * i]
        for i in range(count)
    ]


def test_a_trace_plays_in_real_time():
    """A second of playing gives a second of the trace, which began idle at 72 W."""
    with open_meters([f"replay:{TRACE}"], gpus=[]) as metering:
        start_s = time.monotonic()
        time.sleep(1.0)
        end_s = time.monotonic()
        assert metering.settle(end_s)
        reading = metering.energy(start_s, end_s)
        told = metering.telemetry(start_s, end_s)
    assert reading.gross_j / (end_s - start_s) == pytest.approx(73, abs=6)
    assert (reading.basis, reading.flags) == ("replayed", ["replayed_energy"])
    assert 5 <= len(told) <= 12
    assert told[0].throttle_reasons == ("gpu_idle",)
    assert told[0].memory_used_mb == pytest.approx(480 * 1.048576)


def test_a_trace_loops_without_a_seam(tmp_path):
    """The counter goes on rising and the power at the seam is that of the trace."""
    clock = Hand()
    meter = ReplayMeter(write(tmp_path / "t.json", steps(11)), clock)
    timeline = Timeline(meter.devices()[0])
    for _ in range(400):
        for reading in meter.poll()[0]:
            timeline.add(reading)
        clock.now_s += 0.01
    for start_s in (1000.5, 1000.9, 1001.0, 1002.05):
        assert timeline.energy(start_s, start_s + 1.3).power_w == pytest.approx(
            100, rel=1e-3
        )


def test_the_throttle_counters_of_a_recorded_gpu_agree_with_its_samples():
    """At its power cap in steady products, below it while it decodes, never hot."""
    trace = json.loads(gzip.decompress(TRACE.read_bytes()))
    clock, log = Hand(), TelemetryLog()
    clock.now_s = trace["counter"][1][0]
    meter = ReplayMeter(TRACE, clock)
    log.add(meter.poll()[1])
    clock.now_s = trace["counter"][-1][1]
    log.add(meter.poll()[1])

    def share(name, mark):
        spans = [(m["start"], m["end"]) for m in trace["marks"] if m["name"] == mark]
        grown = [log.throttle_s(*span)["replay:0"] for span in spans]
        assert not any(one["sw_thermal"] or one["hw_thermal"] for one in grown)
        return sum(one[name] for one in grown) / sum(b - a for a, b in spans)

    assert share("sw_power_cap", "gemm_steady") == pytest.approx(1, abs=0.02)
    assert share("sw_power_cap", "decode_b8") == 0.0


def test_throttle_counters_go_on_over_the_seam(tmp_path):
    """Played again, they begin where they ended."""
    path = write(tmp_path / "t.json", steps(11))
    trace = json.loads(path.read_text())
    rows = [[5.15 + k * 0.4, 10**9 + k * 10**8, *[0] * 6] for k in range(2)]
    path.write_text(json.dumps({**trace, "violation": rows}))
    clock, log = Hand(), TelemetryLog()
    meter = ReplayMeter(path, clock)
    meter.poll()
    clock.now_s += 3.0
    log.add(meter.poll()[1])
    grown_s = log.throttle_s(1000.1, 1002.25)["replay:0"]
    assert grown_s["sw_power_cap"] == pytest.approx(0.287)


def test_the_ring_is_played_in_step_with_the_counter(tmp_path):
    """Its samples shape the steps, in the second turn as in the first."""
    clock = Hand()
    ring = [[5.0 + i * 0.02, 1e5] for i in range(200)]
    meter = ReplayMeter(write(tmp_path / "t.json", steps(11), ring=ring), clock)
    timeline = Timeline(meter.devices()[0])
    for _ in range(400):
        for reading in meter.poll()[0]:
            assert reading.after_s <= clock.now_s
            timeline.add(reading)
        clock.now_s += 0.01
    for start_s in (1000.23, 1001.23):
        span = timeline.energy(start_s, start_s + 0.53)
        assert (span.method, span.flags) == ("counter_ring", ())
        assert span.power_w == pytest.approx(100, rel=1e-3)


def test_devices_of_one_trace_are_played_together(tmp_path):
    """Each keeps its own power, over the seam as well, though their steps differ."""
    devices = [
        {"id": "GPU-a", "counter": steps(20, watts=100.0)},
        {"id": "GPU-b", "counter": steps(20, watts=300.0, start_s=5.04)},
        {
            "id": "cpu",
            "scope": "cpu",
            "refresh_s": 0.0,
            "reads": [[5 + i * 0.07, 5 + i * 0.07, i * 700] for i in range(40)],
        },
    ]
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"devices": devices}))
    clock = Hand()
    meter = ReplayMeter(path, clock)
    lines = {device.id: Timeline(device) for device in meter.devices()}
    for _ in range(500):
        for reading in meter.poll()[0]:
            lines[reading.device].add(reading)
        clock.now_s += 0.01
    assert [device.scope for device in meter.devices()] == ["gpu", "gpu", "cpu"]
    powers = [line.energy(1000.5, 1004.5).power_w for line in lines.values()]
    assert powers == pytest.approx([100, 300, 10], rel=1e-3)


def test_what_was_synthetic_stays_so(tmp_path):
    """Playing the trace of a fake meter makes nothing better of it."""
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"counter": steps(5), "basis": "synthetic"}))
    assert ReplayMeter(path).basis == "synthetic"


def test_the_whole_trace_keeps_its_own_clock():
    """At once and without playing: what a mark names is found at its own times."""
    span = whole_trace(TRACE).energy(107.0, 112.0)
    assert span.method == "counter_ring"
    assert span.power_w == pytest.approx(698, rel=0.01)


def test_nothing_is_played_before_its_time(tmp_path):
    """A reading comes when its end is past, and not before."""
    clock = Hand()
    meter = ReplayMeter(write(tmp_path / "t.json", steps(50)), clock)
    meter.poll()
    clock.now_s += 2.0
    readings, _, wait_s = meter.poll()
    assert max(reading.after_s for reading in readings) <= clock.now_s
    assert wait_s > 0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no json", "cannot be read"),
        (b"\x1f\x8b broken", "cannot be read"),
        (b"[]", "is no trace"),
        (b'{"counter": [[1, 2, 3]]}', "is no trace"),
        (b'{"counter": [[1, 2], [2, 3], [3, 4]]}', "not 3 numbers"),
        (b'{"counter": [[1, 2, 3], [0, 1, 4], [3, 4, 5]]}', "out of order"),
        (
            b'{"counter": [[1,1,1],[2,2,2],[3,3,3]], "telemetry": [[1]]}',
            "not 8 numbers",
        ),
        (b'{"counter": [[1,1,1],[2,2,2],[3,3,3]], "ring": [[1]]}', "not 2 numbers"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, content, told):
    """Whatever is wrong with the file, the error names it in one line."""
    path = tmp_path / "bad.json.gz"
    path.write_bytes(content)
    with pytest.raises(MeterError, match=told) as caught:
        open_meters([f"replay:{path}"], gpus=[])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path):
    """A file that is not there is named."""
    with pytest.raises(MeterError, match=r"gone\.json cannot be read"):
        open_meters([f"replay:{tmp_path / 'gone.json'}"], gpus=[])


def test_gzip_is_known_by_its_content(tmp_path):
    """The file may have any name."""
    path = tmp_path / "trace"
    path.write_bytes(gzip.compress(json.dumps({"counter": steps(5)}).encode()))
    assert ReplayMeter(path).period_s == pytest.approx(0.1)
