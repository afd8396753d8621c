"""Meters together: what counts, what is null, what is told."""

import json
import math
import subprocess
import sys
import textwrap
import time

import pytest

from pytest_lem.errors import ConfigError, MeterError
from pytest_lem.machine.gpu import Gpu
from pytest_lem.meters import Device, Reading, Telemetry
from pytest_lem.meters.fake import FakeMeter, HandCranked
from pytest_lem.meters.metering import Metering
from pytest_lem.meters.opening import open_meters
from pytest_lem.meters.registry import Registry, check_names


class Scripted:
    """A meter of some devices, each under constant power from 0 to 10 s."""

    version = "1"
    accuracy = "none"
    period_s = 0.1

    def __init__(self, name, powers_w, *, basis="measured", half_s=0.0):
        self.name = name
        self.basis = basis
        self._powers_w = powers_w
        self._half_s = half_s
        self._told = False

    def devices(self):
        return [
            Device(id=name, scope=scope, name=name, refresh_s=0.0)
            for name, (scope, _) in self._powers_w.items()
        ]

    def poll(self):
        readings = []
        if not self._told:
            self._told = True
            readings = [
                Reading(
                    device=name,
                    before_s=step / 10 - self._half_s,
                    after_s=step / 10 + self._half_s,
                    energy_j=power_w * step / 10,
                )
                for name, (_, power_w) in self._powers_w.items()
                for step in range(101)
            ]
        return readings, [], 0.01

    def facts(self):
        return {"scripted": True}

    def close(self):
        pass


GPUS = {"GPU-a": ("gpu", 300.0), "GPU-b": ("gpu", 500.0)}
HOST = {"package-0": ("cpu", 80.0), "package-0/dram": ("dram", 20.0)}


def sampled(*meters, **kwargs):
    metering = Metering(meters, **kwargs)
    with metering:
        assert metering.settle(9.9, timeout_s=5.0)
    return metering


def test_gpus_are_summed_and_the_host_stands_beside_them():
    """CPU and memory are told and never added to a GPU's energy."""
    reading = sampled(Scripted("nvml", GPUS), Scripted("rapl", HOST)).energy(1.0, 3.0)
    assert reading.gross_j == pytest.approx(1600)
    assert reading.scope == ["gpu"]
    assert (reading.cpu_j, reading.dram_j) == (pytest.approx(160), pytest.approx(40))
    assert (reading.meter, reading.method) == ("nvml", "counter_interpolated")
    assert (reading.basis, reading.flags, reading.reason) == ("measured", [], None)


def test_devices_add_up_to_the_sum_and_uncertainties_in_quadrature():
    """Per-GPU joules are the total; independent errors are not added linearly."""
    reading = sampled(Scripted("nvml", GPUS, half_s=0.004)).energy(1.03, 3.07)
    rows = reading.per_device
    assert [row["device"] for row in rows] == ["GPU-a", "GPU-b"]
    assert sum(row["energy_j"] for row in rows) == reading.gross_j
    assert reading.uncertainty_j == pytest.approx(
        math.hypot(*(row["uncertainty_j"] for row in rows))
    )
    assert reading.uncertainty_j < sum(row["uncertainty_j"] for row in rows)


class Ringed(Scripted):
    """The same with power samples of the GPUs in `ringed`."""

    ringed = ("GPU-a", "GPU-b")

    def poll(self):
        readings, telemetry, wait_s = super().poll()
        samples = [
            Reading(
                device=name,
                before_s=tick / 50,
                after_s=tick / 50,
                ring_w=self._powers_w[name][1],
            )
            for name in (self.ringed if readings else ())
            for tick in range(503)
        ]
        return readings + samples, telemetry, wait_s


def test_rings_are_summed_over_the_gpus_that_count(monkeypatch):
    """Those of the experiment; one without a ring leaves no sum."""
    metering = sampled(Ringed("nvml", GPUS), Scripted("rapl", HOST))
    assert metering.ring_energy(1.0, 3.0) == (pytest.approx(1600), None)
    named_j, _ = metering.ring_energy(1.0, 3.0, devices={"GPU-b"})
    assert named_j == pytest.approx(1000)
    assert metering.ring_energy(1.0, 3.0, devices={"cpu"}) == (None, "no_ring")
    monkeypatch.setattr(Ringed, "ringed", ("GPU-a",))
    metering = sampled(Ringed("nvml", GPUS))
    assert metering.ring_energy(1.0, 3.0) == (None, "no_ring")


def test_only_the_named_gpus_count():
    """An experiment on one GPU does not pay for its neighbour."""
    metering = sampled(Scripted("nvml", GPUS), Scripted("rapl", HOST))
    reading = metering.energy(1.0, 2.0, devices={"GPU-b"})
    assert reading.gross_j == pytest.approx(500)
    assert reading.cpu_j == pytest.approx(80)


def test_an_experiment_on_the_cpu_is_charged_for_cpu_and_memory():
    """Idle GPUs beside it are no part of its work."""
    metering = sampled(Scripted("nvml", GPUS), Scripted("rapl", HOST))
    reading = metering.energy(1.0, 2.0, devices=["cpu"])
    assert reading.gross_j == pytest.approx(100)
    assert reading.scope == ["cpu", "dram"]


def test_a_gpu_that_is_not_metered_makes_the_sum_null():
    """The host's energy is no substitute for a GPU's."""
    reading = sampled(Scripted("rapl", HOST)).energy(1.0, 2.0, devices=["GPU-z"])
    assert reading.gross_j is None
    assert reading.reason == "not_metered: GPU-z"
    assert reading.cpu_j == pytest.approx(80)


def test_a_mig_instance_is_metered_as_its_gpu_and_flagged():
    """The driver counts whole GPUs only."""
    metering = sampled(Scripted("nvml", GPUS), parents={"MIG-1": "GPU-a"})
    reading = metering.energy(1.0, 2.0, devices=["MIG-1"])
    assert reading.gross_j == pytest.approx(300)
    assert reading.flags == ["mig_whole_gpu"]


def test_two_meters_of_one_scope_are_never_added():
    """The first one named tells; the second would count the same joules again."""
    estimate = Scripted("codecarbon", HOST, basis="estimated")
    reading = sampled(Scripted("rapl", HOST), estimate).energy(1.0, 2.0)
    assert reading.gross_j == pytest.approx(100)
    assert (reading.meter, reading.basis) == ("rapl", "measured")


def also_gpus(factor, name="zeus", **kwargs):
    drawn = {device: (scope, factor * w) for device, (scope, w) in GPUS.items()}
    return Scripted(name, drawn, **kwargs)


@pytest.mark.parametrize(("factor", "doubted"), [(0.97, False), (1.06, True)])
def test_a_second_meter_of_a_scope_is_held_against_the_first(factor, doubted):
    """Its energy stands beside the first one's, and over 5 % apart is flagged."""
    metering = sampled(Scripted("nvml", GPUS), also_gpus(factor))
    reading = metering.energy(1.0, 3.0, devices={"GPU-b"})
    (row,) = reading.crosscheck
    assert reading.gross_j == pytest.approx(1000)
    assert [part["meter"] for part in reading.per_device] == ["nvml"]
    assert (row["meter"], row["scope"], row["reason"]) == ("zeus", "gpu", None)
    assert row["energy_j"] == pytest.approx(1000 * factor)
    assert row["difference_pct"] == pytest.approx(100 * (factor - 1))
    assert reading.flags == (["meters_disagree"] if doubted else [])


@pytest.mark.parametrize(
    ("end_s", "half_s", "basis"),
    [(1.5, 0.0, "measured"), (3.0, 0.2, "measured"), (3.0, 0.0, "estimated")],
)
def test_short_spans_blurred_edges_and_models_put_no_meter_in_doubt(
    end_s, half_s, basis
):
    """What a difference of 10 % means nothing against is told and not flagged."""
    other = also_gpus(1.1, half_s=half_s, basis=basis)
    reading = sampled(Scripted("nvml", GPUS), other).energy(1.0, end_s)
    assert reading.crosscheck[0]["difference_pct"] == pytest.approx(10)
    assert reading.flags == []


def test_meters_of_different_gpus_are_not_compared():
    """What the other one says is told, with the reason."""
    other = Scripted("zeus", {"GPU-z": ("gpu", 1.0)})
    reading = sampled(Scripted("nvml", GPUS), other).energy(1.0, 3.0)
    (row,) = reading.crosscheck
    assert (row["energy_j"], row["difference_pct"]) == (pytest.approx(2.0), None)
    assert (row["reason"], reading.flags) == ("other_devices", [])


def test_meters_of_the_host_are_compared_as_a_whole():
    """Two RAPL domains and one modelled CPU are the same thing by other names."""
    host = {"package-0": ("cpu", 30.0), "package-1": ("cpu", 50.0)}
    model = Scripted("model", {"cpu": ("cpu", 100.0)}, basis="estimated")
    reading = sampled(Scripted("rapl", host), model).energy(1.0, 3.0)
    assert reading.crosscheck[0]["difference_pct"] == pytest.approx(25)


def test_only_meters_that_tell_set_the_pace():
    """A slow meter that is there for comparison makes no window longer."""
    slow = also_gpus(1.0)
    slow.period_s = 7.0
    assert Metering([Scripted("nvml", GPUS), slow]).period_s == 0.1


def test_a_sum_is_worth_as_much_as_its_worst_part():
    """Measured CPU with estimated memory is an estimate."""
    cpu = Scripted("rapl", {"p": ("cpu", 80.0)})
    ram = Scripted("codecarbon", {"r": ("dram", 20.0)}, basis="estimated")
    reading = sampled(cpu, ram).energy(1.0, 2.0)
    assert (reading.basis, reading.flags) == ("estimated", ["estimated_energy"])
    assert reading.meter == "rapl+codecarbon"


def test_a_sum_with_a_missing_part_is_null():
    """Half of the GPUs is not the energy."""
    reading = sampled(Scripted("nvml", GPUS)).energy(5.0, 11.0)
    assert (reading.gross_j, reading.uncertainty_j) == (None, None)
    assert reading.reason == "not_covered: GPU-a; not_covered: GPU-b"


def test_fake_power_is_exact_and_flagged():
    """50 W for a while is 50 W times that while, on the CPU engine too."""
    with open_meters(["fake:50"], gpus=[]) as metering:
        start_s = time.monotonic()
        time.sleep(0.5)
        end_s = time.monotonic()
        assert metering.settle(end_s)
        reading = metering.energy(start_s, end_s, devices=["cpu"])
        assert metering.period_s == pytest.approx(0.1)
    assert reading.gross_j == pytest.approx(50 * (end_s - start_s), rel=1e-6)
    assert reading.flags == ["synthetic_energy"]
    assert metering.basis == "synthetic"


def test_a_hand_cranked_meter_says_what_it_is_told():
    """Tests of other rooms set energy and time to the joule."""
    meter = HandCranked(start_s=100.0)
    with Metering([meter]) as metering:
        meter.jump(200.0, 2.0)
        meter.tell(temperature_c=40.0)
        meter.jump(0.0, 1.0)
        assert metering.settle(meter.now_s)
        assert metering.energy(100.5, 101.5).gross_j == pytest.approx(100)
        assert metering.energy(101.5, 103.0).gross_j == pytest.approx(50)
        stood = metering.energy(102.0, 103.0)
        told = metering.telemetry(100.0, 103.0)
    assert (stood.gross_j, stood.reason) == (None, "counter_unchanged: hand_cranked:0")
    assert told == [
        Telemetry(device="hand_cranked:0", time_s=102.0, temperature_c=40.0)
    ]


def test_settle_gives_up_in_time():
    """An instant that never comes is False, not for ever."""
    meter = HandCranked()
    with Metering([meter]) as metering:
        began_s = time.monotonic()
        assert not metering.settle(5.0, timeout_s=0.2)
        assert time.monotonic() - began_s < 2.0


def test_trim_forgets_readings_and_telemetry():
    """A long run keeps what its windows need."""
    meter = HandCranked()
    with Metering([meter]) as metering:
        for _ in range(4):
            meter.tell(power_w=1.0)
            meter.jump(10.0, 1.0)
        assert metering.settle(4.0)
        metering.trim(2.0)
        assert metering.energy(0.5, 1.0).reason == "not_covered: hand_cranked:0"
        assert metering.energy(2.5, 3.5).gross_j == pytest.approx(10)
        assert [told.time_s for told in metering.telemetry(0.0, 4.0)] == [2.0, 3.0]


def test_the_description_is_plain_data():
    """Everything a record needs about a meter, as JSON."""
    metering = sampled(Scripted("nvml", GPUS))
    (told,) = json.loads(json.dumps(metering.describe()))
    assert {"name", "version", "basis", "accuracy", "period_s"} <= told.keys()
    assert [device["id"] for device in told["devices"]] == ["GPU-a", "GPU-b"]
    assert told["facts"] == {"scripted": True}
    assert told["sampler"]["polls"] > 0
    assert json.loads(json.dumps(metering.energy(1.0, 2.0).to_json()))["gross_j"]


def test_no_meter_is_null_with_the_reason():
    """`none` turns energy off, and energy is null, not zero."""
    with open_meters(["none"], gpus=[]) as metering:
        assert metering.settle(1e9)
        reading = metering.energy(0.0, 1.0)
    assert (reading.gross_j, reading.reason) == (None, "no_meter: none was asked for")
    assert (metering.period_s, metering.basis, metering.names) == (0.0, None, [])


def test_auto_without_anything_carries_all_reasons(monkeypatch, tmp_path):
    """Each meter says why it is not there."""
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    monkeypatch.setattr("pytest_lem.meters.opening.absence", lambda: "no NVIDIA driver")
    monkeypatch.setattr("pytest_lem.meters.rapl.POWERCAP", tmp_path / "powercap")
    reading = open_meters(["auto"], gpus=[]).energy(0.0, 1.0)
    assert reading.gross_j is None
    assert reading.reason == (
        f"no_meter: nvml: no NVIDIA driver; rapl: {tmp_path / 'powercap'} is absent; "
        "codecarbon: not installed"
    )


def test_auto_takes_codecarbon_only_where_nothing_measures(monkeypatch, tmp_path):
    """A readable RAPL wins over the model."""
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (zone / "name").write_text("package-0")
    (zone / "energy_uj").write_text("1")
    monkeypatch.setattr("pytest_lem.meters.rapl.POWERCAP", tmp_path)
    assert open_meters(["auto"], gpus=[]).names == ["rapl"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nvlm", "did you mean 'nvml'"),
        ("codecabon", "did you mean 'codecarbon'"),
        ("zuse", "did you mean 'zeus'"),
        ("RAPL", "did you mean 'rapl'"),
        ("replay", "replay:FILE"),
        ("rapl:0", "takes no argument"),
        ("none:1", "takes no argument"),
    ],
)
def test_a_wrong_name_is_a_config_error(name, told):
    """The error names the nearest valid choice."""
    with pytest.raises(ConfigError, match=told):
        check_names([name])


@pytest.mark.parametrize("argument", ["x", "-5", "nan", "inf"])
def test_a_fake_power_must_be_a_power(argument):
    """Watts are a number, finite and not below zero."""
    with pytest.raises(ConfigError, match="no power in watts"):
        open_meters([f"fake:{argument}"], gpus=[])


def test_none_stands_alone():
    """`none` with another meter contradicts itself."""
    with pytest.raises(ConfigError, match="stands alone"):
        check_names(["none", "fake"])


def test_names_are_checked_without_loading_any_library():
    """Checking options at the start of pytest costs no heavy import."""
    code = """
        import sys
        from pytest_lem.meters.registry import check_names
        check_names(["auto", "nvml", "rapl", "codecarbon", "replay:x", "fake:1"])
        heavy = {"numpy", "pynvml", "codecarbon", "pandas"} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_a_named_meter_that_cannot_work_is_an_error_with_the_remedy(monkeypatch):
    """Only `auto` may do without."""
    monkeypatch.setattr("pytest_lem.machine.gpu.absence", lambda: "no NVIDIA driver")
    with pytest.raises(MeterError, match=r"nvml: no NVIDIA driver; run where nvidia"):
        open_meters(["nvml"], gpus=[])


def test_meters_opened_before_a_failure_are_closed(monkeypatch, tmp_path):
    """Nothing is left open when the second of two meters cannot work."""
    closed = []
    monkeypatch.setattr(FakeMeter, "close", lambda self: closed.append(self.name))
    with pytest.raises(MeterError):
        open_meters(["fake", f"replay:{tmp_path / 'gone'}"], gpus=[])
    assert closed == ["fake"]


def made(argument, gpus):
    """A third party's factory, found by its address in this module."""
    return FakeMeter(float(argument or 1) * len(gpus))


def test_a_meter_can_be_added_by_name(monkeypatch):
    """A `module:factory` gets the argument and the GPUs."""
    monkeypatch.setitem(sys.modules, "their_meter", sys.modules[__name__])
    registry = Registry()
    registry.add("theirs", "their_meter:made")
    gpus = [Gpu(index=0, uuid="GPU-a", name="a"), Gpu(index=1, uuid="GPU-b", name="b")]
    metering = open_meters(["theirs:7"], gpus=gpus, registry=registry)
    assert metering.describe()[0]["facts"] == {"power_w": 14.0}
    with pytest.raises(ConfigError, match="the name is taken"):
        registry.add("fake", "their_meter:made")


def test_an_entry_point_is_found_when_its_name_is_asked_for(monkeypatch, tmp_path):
    """A distribution installed beside offers a meter under its own name."""
    info = tmp_path / "their_meter-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: their-meter\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[pytest_lem.meters]\ntheirs = their_meter_module:open_meter\n"
    )
    (tmp_path / "their_meter_module.py").write_text(
        "from pytest_lem.meters.fake import open_meter\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    check_names(["theirs:5"])
    assert open_meters(["theirs:5"], gpus=[]).describe()[0]["facts"]["power_w"] == 5.0


def test_a_meter_that_cannot_be_loaded_is_an_error():
    """A wrong address is told with the name that leads to it."""
    registry = Registry()
    registry.add("theirs", "no_such_module:made")
    with pytest.raises(
        MeterError, match="theirs: no_such_module:made cannot be loaded"
    ):
        open_meters(["theirs"], gpus=[], registry=registry)
