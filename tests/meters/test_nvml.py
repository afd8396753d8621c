"""The NVML meter against a simulated driver, and against a real one where there is."""

import time
from itertools import pairwise
from statistics import median

import pytest

from pytest_lem.errors import ConfigError, MeterError
from pytest_lem.machine import gpu
from pytest_lem.meters import nvml
from pytest_lem.meters.metering import Metering
from pytest_lem.meters.opening import open_meters
from pytest_lem.meters.trace.tape import Tape

REAL_ABSENCE = gpu.absence()


def measured(metering, seconds=0.6, **kwargs):
    start_s = time.monotonic()
    time.sleep(seconds)
    end_s = time.monotonic()
    metering.settle(end_s)
    return metering.energy(start_s, end_s, **kwargs), end_s - start_s


def test_each_gpu_is_metered_by_its_counter(driver):
    """Two GPUs with their own power give their own joules, and the sum."""
    simulated = driver([300.0, 100.0])
    with open_meters(["nvml"], gpus=gpu.discover()) as metering:
        reading, seconds = measured(metering)
        told = metering.describe()[0]
        telemetry = metering.telemetry(0.0, time.monotonic())
    rows = {row["device"]: row["energy_j"] for row in reading.per_device}
    assert rows["GPU-0"] / seconds == pytest.approx(300, rel=0.1)
    assert rows["GPU-1"] / seconds == pytest.approx(100, rel=0.1)
    assert reading.gross_j == pytest.approx(sum(rows.values()))
    assert reading.method == "counter_interpolated"
    assert told["facts"]["GPU-0"]["ring"]["given_up"] == "code 3"
    assert told["period_s"] == pytest.approx(0.05, rel=0.2)
    assert told["version"] == "1.2"
    assert {entry.temperature_c for entry in telemetry} == {50, 51}
    assert telemetry[0].throttle_reasons == ("sw_power_cap",)
    assert (telemetry[0].pstate, telemetry[0].sm_clock_mhz) == (None, None)
    assert simulated.users == 0


@pytest.mark.parametrize(("interval_s", "told"), [(0.02, 50), (0.1, 10), (0.5, 2)])
def test_telemetry_comes_as_often_as_is_asked(driver, interval_s, told):
    """Between reads of the counter as well, which keep their own rhythm."""
    driver([100.0], period_s=0.1)
    with open_meters(["nvml"], gpus=gpu.discover(), telemetry_s=interval_s) as metering:
        start_s = time.monotonic()
        time.sleep(1.0)
        end_s = time.monotonic()
        assert metering.settle(end_s)
        found = metering.telemetry(start_s, end_s)
        reading = metering.energy(start_s, end_s)
    assert told / 2 <= len(found) <= told * 1.5
    assert reading.gross_j / (end_s - start_s) == pytest.approx(100, rel=0.1)


def test_a_counter_that_fails_is_told_however_often_telemetry_comes(driver):
    """Facts that still come do not hide that the energy does not."""
    simulated = driver([100.0], period_s=0.1)
    with open_meters(["nvml"], gpus=gpu.discover(), telemetry_s=0.02) as metering:
        simulated.fails[0] = simulated.NVML_ERROR_GPU_IS_LOST
        time.sleep(1.2)
        (told,) = metering.describe()
    assert told["sampler"]["failed"]


@pytest.mark.parametrize(
    ("no_counter", "method"), [((), "counter_ring"), ({0}, "ring_integrated")]
)
def test_the_driver_s_samples_shape_the_counter_or_stand_in_for_it(
    driver, no_counter, method
):
    """With the ring the method says so, and the record what it was like."""
    driver([250.0], ring=True, no_counter=no_counter)
    with open_meters(["nvml"], gpus=gpu.discover()) as metering:
        start_s = time.monotonic()
        time.sleep(1.6)
        # Polled power reaches the present before the ring does.
        reading = metering.energy(start_s, start_s + 0.8)
        (told,) = metering.describe()
    assert reading.method == method
    assert reading.gross_j == pytest.approx(250 * 0.8, rel=0.05)
    assert told["devices"][0]["ring"]["spacing_s"] == pytest.approx(0.02, abs=0.002)
    assert told["facts"]["GPU-0"]["ring"]["samples"] > 100


@pytest.mark.parametrize("broken", ["unsupported", "zero"])
def test_without_a_counter_power_is_integrated(driver, broken):
    """No counter, or one that stays zero, leaves power and says so."""
    simulated = driver([250.0], no_counter={0} if broken == "unsupported" else ())
    if broken == "zero":
        simulated.nvmlDeviceGetTotalEnergyConsumption = lambda handle: 0
    with open_meters(["nvml"], gpus=gpu.discover()) as metering:
        reading, seconds = measured(metering, 0.3)
        facts = metering.describe()[0]["facts"]["GPU-0"]
    assert reading.gross_j == pytest.approx(250 * seconds)
    assert reading.method == "power_integrated"
    assert facts["source"] == "power_usage"


def test_eight_gpus_that_step_together_are_each_seen_closely(driver):
    """Reads of 4 ms, one after another, would take 32 ms; none waits for another."""
    driver([300.0 + k for k in range(8)], period_s=0.1, read_s=0.004)
    meter = nvml.NvmlMeter(gpu.discover())
    seen = {device.id: [] for device in meter.devices()}
    end_s = time.monotonic() + 3.0
    while time.monotonic() < end_s:
        for reading in meter.poll()[0]:
            seen[reading.device].append(reading)
        time.sleep(0.02)
    facts = meter.facts()
    meter.close()
    for place, (device, readings) in enumerate(seen.items()):
        step_j = 0.1 * (300.0 + place)
        edges = [
            (a, b)
            for a, b in pairwise(readings)
            if 0 < b.energy_j - a.energy_j < 1.5 * step_j
        ]
        assert len(edges) >= 15
        brackets_s = sorted(b.after_s - a.before_s for a, b in edges)
        assert median(brackets_s) < 0.032
        assert facts[device]["read_ms"]["median"] >= 4.0
        assert facts[device]["thread_cpu_s"] > 0


def test_slow_reads_are_counted_and_widen_the_uncertainty(driver):
    """A read of 15 ms tells of an edge no more sharply than that."""
    driver([300.0], period_s=0.1, read_s=0.015)
    with open_meters(["nvml"], gpus=gpu.discover()) as metering:
        time.sleep(0.3)
        reading, _ = measured(metering)
        facts = metering.describe()[0]["facts"]["GPU-0"]
    assert facts["slow_reads"] == facts["reads"] > 10
    assert reading.uncertainty_j > 300 * 0.015 / 2


def test_the_older_name_of_the_reasons_is_tried(driver):
    """Drivers before 535 speak of throttle reasons only."""
    driver([300.0], old_name=True)
    (only,) = gpu.discover()
    assert only.throttle_reasons == ("sw_thermal",)


def test_unknown_reasons_are_none(driver):
    """A driver that knows neither name gives unknown, not `not throttled`."""
    simulated = driver([300.0])
    del simulated.nvmlDeviceGetCurrentClocksEventReasons
    (only,) = gpu.discover()
    assert only.throttle_reasons is None


def test_mig_instances_stand_for_their_gpu(driver, tmp_path):
    """Instances are listed in the place of a GPU in MIG mode, which is metered."""
    driver([300.0, 100.0], mig={0})
    gpus = gpu.discover()
    assert [g.uuid for g in gpus] == ["MIG-0-0", "MIG-0-1", "GPU-1"]
    assert [g.mig_parent for g in gpus] == ["GPU-0", "GPU-0", None]
    assert gpus[0].to_json()["mig"] == {"profile": "1g.MIG-0-0", "parent": "GPU-0"}
    assert gpus[2].to_json()["mig"] is None
    metering, tape = open_meters(["nvml"], gpus=gpus[:1]), Tape(tmp_path / "tape")
    metering.record(tape)
    with metering:
        reading, seconds = measured(metering, devices=["MIG-0-0"])
        metering.mark("window", 1.0, 2.0, devices=["MIG-0-0"])
    tape.flush()
    assert [*tape.marks()] == [
        '{"name":"window","start":1.0,"end":2.0,"devices":["GPU-0"]}'
    ]
    assert [row["device"] for row in reading.per_device] == ["GPU-0"]
    assert reading.gross_j / seconds == pytest.approx(300, rel=0.1)
    assert reading.flags == ["mig_whole_gpu"]


@pytest.mark.parametrize(
    ("name", "boundary", "flags"),
    [
        (b"NVIDIA H100 80GB HBM3", "gpu", []),
        (b"NVIDIA GH200 480GB", "module", ["module_scope_energy"]),
    ],
)
def test_a_superchip_s_energy_is_that_of_its_module(driver, name, boundary, flags):
    """Its processor's joules are in it: it is no GPU's alone, and says so."""
    driver([300.0]).name = name
    with open_meters(["nvml"], gpus=gpu.discover()) as metering:
        reading, _ = measured(metering, 0.3)
    assert reading.per_device[0]["boundary"] == boundary
    assert reading.flags == flags


def test_nvml_is_shut_down_by_its_last_user(driver):
    """Users in one process share one initialisation."""
    simulated = driver([300.0])
    with gpu.nvml():
        with pytest.raises(KeyError), gpu.nvml():
            raise KeyError("body")
        assert simulated.users == 1
    assert simulated.users == 0


def test_a_failed_opening_lets_go_of_nvml(driver):
    """An unknown UUID is an error that leaves nothing initialised."""
    simulated = driver([300.0])
    with pytest.raises(MeterError, match="GPU nonsense cannot be opened"):
        nvml.NvmlMeter([gpu.Gpu(index=0, uuid="nonsense", name="x")])
    assert simulated.users == 0


def test_an_argument_is_refused():
    """`nvml:0` means nothing; GPUs are chosen elsewhere."""
    with pytest.raises(ConfigError, match="takes no argument"):
        nvml.open_meter("0", [])


@pytest.mark.skipif(REAL_ABSENCE is None, reason="a GPU is here")
def test_without_a_driver_the_reason_is_named():
    """This machine has no GPU, and the error says what to do."""
    with pytest.raises(MeterError, match=r"^nvml: .*; run where nvidia-smi works"):
        open_meters(["nvml"], gpus=[])


# So long a GPU may keep its clocks up after the last context on it is closed.
REST_S = 5.0


@pytest.mark.gpu
@pytest.mark.skipif(REAL_ABSENCE is not None, reason=str(REAL_ABSENCE))
def test_a_real_gpu_at_rest_draws_an_even_power():
    """Spans of a second within a few seconds agree to a few percent."""
    time.sleep(REST_S)
    with Metering([nvml.open_meter("", gpu.discover()[:1])]) as metering:
        start_s = time.monotonic()
        time.sleep(4.0)
        assert metering.settle(start_s + 4.0)
        spans = [
            metering.energy(start_s + shift, start_s + shift + 1.03)
            for shift in (0.0, 0.71, 1.53, 2.27)
        ]
    energies_j = [span.gross_j for span in spans]
    assert max(energies_j) < 1.1 * min(energies_j)
