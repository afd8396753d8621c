"""Energy of many nodes: read on each by its own clock, told by ours."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from pytest_lem.analysis.clocks import Exchange
from pytest_lem.cluster.clock import NodeClock
from pytest_lem.errors import ConfigError, MeterError
from pytest_lem.meters.fake import HandCranked
from pytest_lem.meters.metering import Metering
from pytest_lem.meters.registry import Registry

AHEAD_S = 5000


def exchange(at_s, way_s=0.001, offset_s=50.0):
    return Exchange(
        asked_s=at_s,
        taken_s=at_s + way_s + offset_s,
        answered_s=at_s + way_s + offset_s,
        heard_s=at_s + 2 * way_s,
    )


def test_a_clock_keeps_the_quickest_exchange_of_each_second():
    clock = NodeClock()
    for k in range(40):
        clock.note(exchange(100 + k / 4, way_s=0.0001 if k % 4 == 2 else 0.05))
    assert clock.relation.exchanges == 10
    assert clock.relation.ours_s(158.0) == pytest.approx(108.0, abs=1e-4)
    assert clock.residual_s(104.0, 108.0) < 0.0005


def test_a_span_is_as_uncertain_as_the_clock_was_then():
    """A slow exchange before anything better was known is remembered."""
    clock = NodeClock()
    clock.note(exchange(100.0, way_s=0.3))
    for k in range(1, 50):
        clock.note(exchange(100.0 + k, way_s=0.0001))
    assert clock.residual_s(99.0, 101.0) > 0.25
    assert clock.residual_s(140.0, 145.0) < 0.001


class Afar(HandCranked):
    """A meter of another machine, whose clock may be wrong by 10 ms."""

    def residual_s(self, device, start_s, end_s):
        return 0.01


def test_energy_is_uncertain_by_power_times_the_residual_of_the_clock():
    found = []
    for kind in (HandCranked, Afar):
        meter = kind(start_s=time.monotonic())
        with Metering([meter]) as metering:
            start_s = meter.now_s
            meter.jump(500.0, 5.0)
            assert metering.settle(meter.now_s)
            found.append(metering.energy(start_s + 1, start_s + 3))
    near, far = found
    assert near.gross_j == pytest.approx(200)
    assert far.gross_j == pytest.approx(200)
    moved_j = (far.uncertainty_j**2 - near.uncertainty_j**2) ** 0.5
    assert moved_j == pytest.approx(100 * 0.01)


@pytest.mark.parametrize("name", ["cluster:cluster", "cluster:auto", "cluster:nwml"])
def test_a_meter_that_no_node_can_have_is_refused_before_any_is_asked(name):
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match=r"cluster:nvml|nvml"):
        Registry().open(name, [])


@pytest.fixture
def metering(three_nodes, monkeypatch):
    """Ready to start on the cluster, of the meter that is named."""
    monkeypatch.setenv("RAY_ADDRESS", three_nodes.address)
    return lambda name: Metering([Registry().open(name, [])])


def measured(metering, seconds=3.0):
    """The energy of a span, and what is told of each node's clock."""
    start_s = time.monotonic()
    time.sleep(seconds)
    end_s = time.monotonic()
    assert metering.settle(end_s)
    reading = metering.energy(start_s, end_s)
    (told,) = metering.describe()
    return reading, end_s - start_s, told["facts"]["nodes"]


@pytest.mark.slow
def test_three_nodes_add_up_and_their_clocks_are_ours_within_the_residual(metering):
    with metering("cluster:fake:200") as found:
        reading, long_s, nodes = measured(found)
    assert reading.gross_j == pytest.approx(3 * 200 * long_s, rel=0.01)
    assert reading.basis == "synthetic"
    assert len({row["device"] for row in reading.per_device}) == len(nodes) == 3
    for node in nodes:
        clock = node["clock"]
        assert abs(clock["offset_s"]) <= clock["residual_s"] < 0.1
        assert node["meter"]["sampler"]["polls"] > 0
    residual_j = sum((200 * node["clock"]["residual_s"]) ** 2 for node in nodes) ** 0.5
    assert reading.uncertainty_j > 0.5 * residual_j


@pytest.mark.slow
def test_two_nodes_of_one_machine_do_not_tell_its_processors_twice(metering):
    """RAPL where it can be read, else every node says why not."""
    if not Path("/sys/class/powercap/intel-rapl:0/energy_uj").exists():
        with pytest.raises(MeterError, match="no node can be metered by rapl"):
            metering("cluster:rapl")
        return
    with metering("cluster:rapl") as found:
        assert len({one["id"] for one in found.describe()[0]["devices"]}) < 6
        assert len(measured(found)[2]) == 1


@pytest.mark.slow
def test_a_node_that_is_lost_makes_energy_null_and_says_so(three_nodes, metering):
    lost = three_nodes.add_node(num_cpus=1, object_store_memory=80 * 1024**2)
    with metering("cluster:fake:100") as found:
        assert measured(found, 1.0)[0].gross_j > 0
        three_nodes.remove_node(lost, allow_graceful=False)
        time.sleep(3.0)
        start_s = time.monotonic()
        time.sleep(1.0)
        end_s = time.monotonic()
        assert not found.settle(end_s, timeout_s=2.0)
        reading = found.energy(start_s, end_s)
        (told,) = found.describe()
    assert reading.gross_j is None
    assert reading.reason.startswith("not_covered: ")
    assert len([one for one in told["facts"]["nodes"] if one["lost"]]) == 1


@pytest.mark.slow
def test_a_node_with_another_clock_is_told_by_ours(three_nodes, metering, join):
    """Linux gives a process and its children a clock of their own, where root asks."""
    unshare = shutil.which("unshare")
    ahead = [unshare, "--time", "--monotonic", str(AHEAD_S), "--fork"]
    if unshare is None or subprocess.run([*ahead, "true"], check=False).returncode:
        pytest.skip("no time namespaces here")
    join(three_nodes.address, ahead, "ahead")
    with metering("cluster:fake:200") as found:
        reading, long_s, nodes = measured(found)
    offsets = sorted(node["clock"]["offset_s"] for node in nodes)
    assert offsets[-1] == pytest.approx(AHEAD_S, abs=1.0)
    assert max(map(abs, offsets[:-1])) < 0.1
    assert reading.gross_j == pytest.approx(len(nodes) * 200 * long_s, rel=0.01)
