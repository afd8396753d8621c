"""Net energy of whole cycles: a real worker, and a meter that draws as it works."""

import time
from threading import Lock

import pytest

from pytest_lem.errors import IdleError
from pytest_lem.measure.cycle import run_cycle
from pytest_lem.meters import Device, Reading


class Working:
    """A counter that is exact: `power_w` since it was last changed, from then on.

    `flags` are found in it at idle, `scope` is what it meters.
    """

    name = "working"
    version = "1"
    basis = "synthetic"
    accuracy = "exact"
    period_s = 0.05

    def __init__(self, idle_w=100.0, busy_w=400.0, after_w=None):
        self.idle_w, self.busy_w = idle_w, busy_w
        self.after_w = idle_w if after_w is None else after_w
        self._since_s, self._energy_j, self._power_w = None, 0.0, idle_w
        self._changes, self._lock = [], Lock()

    def devices(self):
        return [Device(id="working:0", scope="gpu", name="X", refresh_s=0.0)]

    def follow(self, phase):
        """Draw what the phase that begins draws."""
        if phase.startswith("window"):
            self._change(self.busy_w)
            self.idle_w = self.after_w
        elif phase.startswith("idle"):
            self._change(self.idle_w)

    def poll(self):
        with self._lock:
            told, self._changes = [*self._changes, self._now()], []
        return [self._reading(*one) for one in told], [], 0.005

    def facts(self):
        return {}

    def close(self):
        pass

    def _now(self):
        now_s = time.monotonic()
        if self._since_s is None:
            self._since_s = now_s
        return now_s, self._energy_j + self._power_w * (now_s - self._since_s)

    def _change(self, power_w):
        with self._lock:
            self._since_s, self._energy_j = self._now()
            self._power_w = power_w
            self._changes.append((self._since_s, self._energy_j))

    def _reading(self, now_s, energy_j):
        (device,) = self.devices()
        return Reading(
            device=device.id, before_s=now_s, after_s=now_s, energy_j=energy_j
        )


@pytest.fixture
def cycle(make_lab, experiment, measure):
    """Measure a cycle of so many windows of 0.4 s, on that meter."""

    def cycle(meter=None, windows=3, **policy):
        meter = meter or Working()
        lab = make_lab(meter, idle="auto", idle_s=1.0, policy=policy)
        lab.progress.act = meter.follow
        one = experiment(script={"prefill_s": 0.4}, effort={"windows": windows})
        return measure(lab, one)

    return cycle


def test_a_quarter_of_idle_power_is_removed_to_a_hundredth(cycle):
    """100 W at idle and 400 W at work: three quarters are net, and it is so told."""
    found = cycle()
    assert found.idle.power_w == pytest.approx(100.0, rel=0.01)
    gross_j, net_j = found.metrics["energy_gross_j"], found.metrics["energy_net_j"]
    assert gross_j == pytest.approx(400 * 1.2, rel=0.01)
    assert net_j == pytest.approx(300 * 1.2, rel=0.01)
    for window in found.windows:
        assert window.energy.idle_share == pytest.approx(0.25, abs=0.01)
        assert window.energy.idle_state == "model_loaded"
        assert window.energy.net_uncertainty_j >= window.energy.uncertainty_j
    assert found.metrics["energy_net_uncertainty_j"] > 0
    assert "net_invalid" not in found.flags


def test_drift_beyond_the_limit_leaves_gross_alone(cycle):
    """Idle power rose by 5 % over the cycle: net is null, and says by how much."""
    found = cycle(Working(after_w=105.0))
    assert found.idle.drift_pct == pytest.approx(5.0, abs=0.5)
    assert found.idle.after.power_w == pytest.approx(105.0, rel=0.01)
    assert found.metrics["energy_gross_j"] == pytest.approx(480.0, rel=0.01)
    for name in ("energy_net_j", "energy_per_output_token_net_j"):
        assert found.metrics[name] is None
        assert found.nulls[name].startswith("idle_drift: +")
    assert {w.energy.net_j for w in found.windows} == {None}
    assert {w.energy.idle_state for w in found.windows} == {None}
    assert found.metrics["idle_power_w"] == found.idle.power_w
    assert "net_invalid" in found.flags


def test_the_limit_of_drift_is_a_setting(cycle):
    """The mean of before and after is what is subtracted, 2 to 1 is their length."""
    found = cycle(Working(after_w=105.0), drift_limit_pct=10.0)
    mean_w = found.idle.power_w
    assert 100.5 < mean_w < 104.5
    assert found.metrics["energy_net_j"] == pytest.approx(
        (400 - mean_w) * 1.2, rel=0.01
    )


def test_too_short_a_cycle_has_no_net_energy(cycle):
    """Two windows of 0.4 s are less than a second together."""
    found = cycle(windows=2)
    assert found.nulls["energy_net_j"].startswith("short_cycle: measured for 0.8 s")
    assert found.metrics["energy_gross_j"] is not None


class Slice(Working):
    """A MIG instance: the meter tells of the whole GPU."""

    def devices(self):
        return [Device(id="GPU-0", scope="gpu", name="X", refresh_s=0.0)]


@pytest.mark.parametrize("force", [False, True])
def test_a_mig_instance_has_net_energy_only_by_force(cycle, monkeypatch, force):
    """The whole GPU's counter holds what its other instances draw."""
    from pytest_lem.measure import laboratory

    start = laboratory.Metering.start

    def as_slice(metering):
        metering._parents = {"MIG-0": "GPU-0"}
        start(metering)

    monkeypatch.setattr(laboratory.Metering, "start", as_slice)
    found = cycle(Slice(), force=force)
    assert (found.metrics["energy_net_j"] is not None) is force
    assert ("net_forced" in found.flags) is force
    assert ("net_invalid" in found.flags) is not force
    if not force:
        assert found.nulls["energy_net_j"].startswith("mig_slice")


def test_a_reading_that_fails_after_the_windows_fails_where_it_is_required(
    make_lab, experiment
):
    """Its meter has fallen silent by then; the windows are kept."""
    meter = Working()
    lab = make_lab(meter, idle="required", idle_s=1.0)
    phases = []

    def silence(name):
        phases.append(name)
        if phases.count("idle") == 2:
            meter.poll = lambda: ([], [], 0.02)

    lab.progress.act = silence
    kept = []
    with pytest.raises(IdleError, match="not_covered"):
        run_cycle(lab, experiment(), 0, kept.append)
    assert (kept[0].status, len(kept[0].windows)) == ("failed", 3)
