"""Idle power state by state: which are read, when, and what a cycle uses of them."""

from types import SimpleNamespace

import pytest

from pytest_lem.errors import IdleError
from pytest_lem.measure.idle import IdlePolicy
from pytest_lem.measure.idle_cache import IdleCache
from pytest_lem.measure.idle_states import IdleStates
from pytest_lem.meters import Device
from pytest_lem.meters.fake import HandCranked

SECONDS = 4.0


class Worker:
    """A worker with so many GPUs; how often it was asked for contexts."""

    def __init__(self, gpus=1):
        self.gpus = gpus
        self.asked = 0

    def open_contexts(self):
        self.asked += 1
        return self.gpus


@pytest.fixture
def make(cranked, tmp_path):
    """The states of a session that begins; what was shown, and its clock."""
    wall = SimpleNamespace(now_s=0.0)

    def make(gpus=("hand_cranked:0",), **policy):
        shown = []
        states = IdleStates(
            cranked.metering,
            IdlePolicy(**{"seconds": SECONDS, **policy}),
            gpus,
            cache=IdleCache(
                directory=tmp_path / "idle",
                ttl_s=100.0,
                machine={"host": "h"},
                clock_s=lambda: wall.now_s,
            ),
            wait=cranked.wait,
            show=lambda name, _estimate_s: shown.append(name),
        )

        def cycle(known=None, after_w=None):
            loaded = states.loaded(gpus, known, {"model": "m"})
            idle = states.of_cycle(loaded)
            cranked.wait(7.0)
            if after_w is not None:
                cranked.power_w = after_w
            states.read_after(idle, gpus)
            return idle

        states.shown, states.cycle, states.wall = shown, cycle, wall
        return states

    return make


def start(cranked, states, *, worker=None, bare_w=70.0, context_w=110.0, loaded_w=120):
    """Begin a session whose GPU draws more with each state."""
    cranked.power_w = bare_w
    states.before_worker()
    cranked.power_w = context_w
    states.with_worker(worker or Worker(), shares_context=True)
    cranked.power_w = loaded_w


def record(idle):
    return idle.record(idle.chosen.ended_s + 3.0)


def test_each_state_is_read_and_the_loaded_one_is_subtracted(cranked, make):
    """Bare, with a context, loaded, and loaded again after the windows."""
    states = make()
    start(cranked, states)
    found = record(states.cycle())
    assert states.shown == ["idle no_context", "idle context", "idle", "idle"]
    powers_w = {name: one.power_w for name, one in found.states.items()}
    assert powers_w == pytest.approx(
        {"no_context": 70.0, "context": 110.0, "model_loaded": 120.0}
    )
    assert (found.state, found.source) == ("model_loaded", "fresh")
    assert found.power_w == pytest.approx(120.0)
    assert found.after.duration_s == pytest.approx(SECONDS / 2)
    assert found.drift_pct == pytest.approx(0.0, abs=1e-6)
    assert found.spread_w == pytest.approx(25.0)
    assert found.age_s == pytest.approx(3.0)
    assert found.system_w is None
    (device,) = found.per_device
    assert device["device"] == "hand_cranked:0"
    assert device["power_w"] == pytest.approx(120.0)


def test_before_and_after_weigh_by_their_duration(cranked, make):
    """4 s at 120 W and 2 s at 126 W are 122 W; it rose by 5 %."""
    states = make()
    start(cranked, states)
    idle = states.cycle(after_w=126.0)
    found = record(idle)
    assert found.power_w == pytest.approx(122.0)
    assert found.per_device[0]["power_w"] == pytest.approx(122.0)
    assert (found.duration_s, found.samples) == (pytest.approx(6.0), 10)
    # Five slices at each power: the deviation of ten values, 6 W apart in two halves.
    assert found.std_w == pytest.approx((10 * 3.0**2 / 9) ** 0.5)
    assert found.drift_pct == pytest.approx(5.0)
    assert found.states["model_loaded"].power_w == pytest.approx(120.0)
    assert found.spread_w == pytest.approx(28.0)
    assert idle.watts().power_w == pytest.approx(122.0)


@pytest.mark.parametrize(("kind", "power_w"), [("no_context", 70), ("context", 110)])
def test_another_state_may_be_subtracted(cranked, make, kind, power_w):
    """It is read once; the loaded one still tells the drift of the cycle."""
    states = make(kind=kind)
    start(cranked, states)
    idle = states.cycle(after_w=126.0)
    assert (idle.watts().state, idle.watts().power_w) == (kind, pytest.approx(power_w))
    assert record(idle).drift_pct == pytest.approx(5.0)


def test_bare_states_are_read_once_in_a_session(cranked, make):
    """A second worker finds them known; the loaded state is read with each load."""
    states, worker = make(), Worker()
    start(cranked, states, worker=worker)
    first = states.cycle()
    start(cranked, states, worker=worker)
    second = states.cycle()
    assert worker.asked == 1
    assert states.shown.count("idle no_context") == 1
    assert states.shown.count("idle") == 4
    shared = states.cycle(known=second.states["model_loaded"])
    assert states.shown.count("idle") == 5
    assert shared.states["model_loaded"] is second.states["model_loaded"]
    assert first.states["no_context"] is second.states["no_context"]


def test_work_has_died_down_before_idle_power_is_read(cranked, make):
    """Half a second at full power after the windows is in no reading."""
    states = make()
    start(cranked, states)
    calm = cranked.wait

    def wait(seconds):
        cranked.power_w = 700.0 if seconds == 0.5 else 120.0
        calm(seconds)

    states._wait = wait
    found = record(states.cycle())
    assert found.power_w == pytest.approx(120.0)
    assert found.after.power_w == pytest.approx(120.0)


@pytest.fixture
def on_cpu(monkeypatch):
    """The meter tells of the CPU."""
    cpu = Device(id="hand_cranked:0", scope="cpu", name="X", refresh_s=0.0)
    monkeypatch.setattr(HandCranked, "devices", lambda _self: [cpu])


@pytest.fixture
def measuring(cranked, monkeypatch):
    """The meter says that it measures."""
    monkeypatch.setattr(cranked.meter, "basis", "measured")


@pytest.mark.usefixtures("on_cpu")
def test_without_gpus_only_the_loaded_state_is_read(cranked, make):
    """The meter tells the CPU: what it drew stands beside, as the system's."""
    states, worker = make(gpus=("cpu",)), Worker(gpus=0)
    start(cranked, states, worker=worker)
    idle = states.cycle()
    found = record(idle)
    assert states.shown == ["idle", "idle"]
    assert worker.asked == 0
    assert found.system_w == pytest.approx(120.0)
    assert (found.states["no_context"], found.states["context"]) == (None, None)
    assert idle.reasons() == {
        "idle.states.no_context": "no_gpu_metered",
        "idle.states.context": "no_gpu_metered",
    }


@pytest.mark.usefixtures("measuring")
def test_a_worker_without_cuda_has_no_context_to_read(cranked, make):
    """A meter that measures is not told that something was opened."""
    states = make()
    start(cranked, states, worker=Worker(gpus=0))
    idle = states.cycle()
    assert idle.reasons() == {"idle.states.context": "no_cuda"}
    assert "idle context" not in states.shown


def test_no_context_is_opened_for_an_engine_that_forks(cranked, make):
    """CUDA would not work in its processes."""
    states, worker = make(), Worker()
    states.before_worker()
    states.with_worker(worker, shares_context=False)
    assert worker.asked == 0
    reason = states.cycle().reasons()["idle.states.context"]
    assert reason == "engine_opens_its_own_context"


@pytest.mark.usefixtures("measuring")
def test_a_state_that_is_required_and_cannot_be_read_is_an_error(cranked, make):
    """Just that one; the others are null with a reason."""
    required = make(mode="required", kind="context")
    required.before_worker()
    with pytest.raises(IdleError, match=r"no_cuda \(state context\)"):
        required.with_worker(Worker(gpus=0), shares_context=True)
    loaded = make(mode="required")
    start(cranked, loaded, worker=Worker(gpus=0))
    assert record(loaded.cycle()).power_w == pytest.approx(120.0)


def test_off_reads_nothing(cranked, make):
    """Not in any state."""
    states, worker = make(mode="off"), Worker()
    start(cranked, states, worker=worker)
    idle = states.cycle()
    assert (record(idle), idle.watts(), idle.chosen.reason) == (None, None, "idle_off")
    assert (states.shown, worker.asked) == ([], 0)


def test_a_kept_reading_is_used_at_its_age(cranked, make):
    """Nothing is read again in a second session; no reading follows its windows."""
    start(cranked, first := make(strategy="cached"))
    fresh = record(first.cycle())
    assert (fresh.source, fresh.after) == ("fresh", None)
    first.wall.now_s += 60.0
    start(cranked, second := make(strategy="cached"), loaded_w=500.0)
    idle = second.cycle()
    found = record(idle)
    assert second.shown == []
    assert found.source == "cached"
    assert {one.source for one in found.states.values()} == {"cached"}
    assert found.power_w == pytest.approx(120.0)
    assert idle.record(cranked.meter.now_s).age_s == pytest.approx(60.0 + 7.0)
    assert idle.reasons() == {"idle.after": "not_read"}


def test_a_kept_reading_that_has_expired_is_made_anew(cranked, make):
    """After `lem_idle_ttl` seconds."""
    start(cranked, first := make(strategy="cached"))
    first.cycle()
    first.wall.now_s += 101.0
    start(cranked, second := make(strategy="cached"), loaded_w=130.0)
    found = record(second.cycle())
    assert (found.source, found.power_w) == ("fresh", pytest.approx(130.0))
    assert len(second.shown) == 3


def test_a_validated_reading_is_checked_every_so_many_cycles(cranked, make):
    """By a short one, that may differ by a tenth."""
    start(cranked, first := make(strategy="validated", every=3))
    first.cycle()
    start(cranked, second := make(strategy="validated", every=3), loaded_w=130.0)
    cycles = [record(second.cycle()) for _ in range(4)]
    assert second.shown.count("idle") == 2
    assert [one.source for one in cycles] == [
        *("validated", "cached", "cached", "validated")
    ]
    assert all(one.power_w == pytest.approx(120.0) for one in cycles)
    assert cycles[0].drift_pct == pytest.approx(100 / 12)
    assert cycles[1].drift_pct is None
    assert cycles[0].spread_w == pytest.approx(30.0)


def test_a_reading_that_drifted_is_made_anew_and_kept(cranked, make):
    """The second reading of the same cycle is new, not the kept one."""
    start(cranked, first := make(strategy="validated"))
    first.cycle()
    start(cranked, second := make(strategy="validated"), loaded_w=133.0)
    found = record(second.cycle())
    assert second.shown.count("idle") == 2
    assert (found.source, found.power_w) == ("fresh", pytest.approx(133.0))
    start(cranked, third := make(strategy="validated"), loaded_w=133.0)
    assert record(third.cycle()).source == "validated"


def test_a_gpu_that_was_at_work_is_told_and_not_kept(cranked, make, tmp_path):
    """Its telemetry says so, and the next session reads anew."""
    calm, gpu = cranked.wait, ("hand_cranked:0",)

    def busy(seconds):
        cranked.meter.tell(utilisation_pct=80.0)
        calm(seconds)

    states = make(gpu, strategy="cached")
    states._wait = busy
    start(cranked, states)
    idle = states.cycle()
    assert "gpu_busy_at_idle" in idle.flags
    assert not (tmp_path / "idle").exists()


def test_fresh_neither_uses_nor_keeps(cranked, make, tmp_path):
    """Nothing is written where nothing is asked to be kept."""
    start(cranked, states := make())
    states.cycle()
    assert not (tmp_path / "idle").exists()
