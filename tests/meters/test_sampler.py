"""The sampler's thread, its faults and its end."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_lem.meters import Device, Reading
from pytest_lem.meters.metering import Metering
from pytest_lem.meters.sampler import Sampler


class Clockwork:
    """A meter of constant power that can be told to fail or to hang."""

    name = "clockwork"
    version = "1"
    basis = "synthetic"
    accuracy = "none"

    def __init__(self, *, period_s=0.01, fail=lambda poll: False, hang_at=None):
        self.period_s = period_s
        self.polls = 0
        self.closed = False
        self.release = threading.Event()
        self._fail = fail
        self._hang_at = hang_at

    def devices(self):
        return [Device(id="c", scope="gpu", name="c", refresh_s=0.0)]

    def poll(self):
        self.polls += 1
        if self._fail(self.polls):
            raise RuntimeError("the wire came off")
        if self.polls == self._hang_at:
            self.release.wait(30)
        now_s = time.monotonic()
        reading = Reading(
            device="c", before_s=now_s, after_s=now_s, energy_j=100 * now_s
        )
        return [reading], [], self.period_s

    def facts(self):
        return {}

    def close(self):
        self.closed = True


@pytest.fixture
def hanging():
    """A meter whose fifth poll hangs until the test is over."""
    meter = Clockwork(hang_at=5)
    yield meter
    meter.release.set()


def wait_until(holds, limit_s=5.0):
    end_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end_s, "it did not come to pass"
        time.sleep(0.002)


def sampler_threads():
    return [t for t in threading.enumerate() if t.name == "lem-sampler"]


def test_a_meter_is_polled_at_its_own_pace():
    """Two meters with periods of 10 and 50 ms get polls in about that ratio."""
    quick, slow = Clockwork(period_s=0.01), Clockwork(period_s=0.05)
    sampler = Sampler([quick, slow], lambda *_: None)
    sampler.start()
    wait_until(lambda: slow.polls >= 6)
    assert sampler.stop()
    assert quick.polls > 2 * slow.polls
    assert sampler.state(0).polls == quick.polls
    assert not sampler_threads()


def test_a_few_failed_polls_are_counted_and_the_meter_goes_on():
    """Four failures in a row are borne, and told."""
    meter = Clockwork(fail=lambda poll: poll <= 4)
    sampler = Sampler([meter], lambda *_: None)
    sampler.start()
    wait_until(lambda: meter.polls >= 8)
    sampler.stop()
    state = sampler.state(0)
    assert state.failures == 4
    assert state.reason == "RuntimeError: the wire came off"
    assert not state.failed


def test_a_meter_that_keeps_failing_is_given_up_and_the_others_go_on():
    """Five failures in a row end one meter, with its reason, and not the other."""
    broken, good = Clockwork(fail=lambda poll: poll > 3), Clockwork()
    with Metering([broken, good]) as metering:
        wait_until(lambda: metering.describe()[0]["sampler"]["failed"])
        polls = good.polls
        wait_until(lambda: good.polls > polls + 5)
        now_s = time.monotonic()
        assert not metering.settle(now_s, timeout_s=1.0)
        reading = metering.energy(now_s - 0.01, now_s)
    state = metering.describe()[0]["sampler"]
    assert broken.polls == 8
    assert "sampler_failed" in state["flags"]
    assert "wire came off" in state["reason"]
    assert (reading.gross_j, reading.reason) == (None, "not_covered: c")
    assert "sampler_failed" in reading.flags


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (SystemExit("their library gave up"), "SystemExit: their library gave up"),
        (float("nan"), "MeterError: it wants to be asked again in nan s"),
        (float("inf"), "MeterError: it wants to be asked again in inf s"),
        (None, "TypeError: "),
    ],
)
def test_whatever_a_poll_does_the_thread_lives_and_says_so(answer, told):
    """A meter that ends its thread, or asks for nonsense, ends only itself."""

    class Odd(Clockwork):
        def poll(self):
            if isinstance(answer, BaseException):
                raise answer
            return [], [], answer

    good = Clockwork()
    sampler = Sampler([Odd(), good], lambda *_: None)
    sampler.start()
    wait_until(lambda: sampler.state(0).failed)
    polls = good.polls
    wait_until(lambda: good.polls > polls + 3)
    assert sampler.stop()
    assert sampler.state(0).reason.startswith(told)
    assert not sampler.state(1).failed


def test_a_thread_that_ends_all_the_same_fails_every_meter():
    """What even the sampler did not foresee is told by all of its meters."""

    class Unforeseen(Clockwork):
        @property
        def period_s(self):
            if threading.current_thread().name == "lem-sampler":
                raise LookupError("no period today")
            return 0.01

        @period_s.setter
        def period_s(self, value):
            pass

    sampler = Sampler([Clockwork(), Unforeseen()], lambda *_: None)
    sampler.start()
    wait_until(lambda: sampler.state(0).failed)
    assert sampler.stop()
    for index in (0, 1):
        assert sampler.state(index).reason == (
            "the sampler ended: LookupError: no period today"
        )


def test_stop_ends_in_time_when_a_poll_hangs(hanging):
    """Stop gives up a hanging poll within one interval and a second, and says so."""
    metering = Metering([hanging])
    metering.start()
    wait_until(lambda: hanging.polls >= 5)
    began_s = time.monotonic()
    metering.stop()
    assert time.monotonic() - began_s < hanging.period_s + 1.5
    state = metering.describe()[0]["sampler"]
    assert state["flags"] == ["sampler_failed"]
    assert "has not returned" in state["reason"]
    assert not hanging.closed


def test_what_a_hanging_poll_delivers_late_is_dropped(hanging):
    """After stop nothing changes any more."""
    taken = []
    sampler = Sampler([hanging], lambda *args: taken.append(args))
    sampler.start()
    wait_until(lambda: hanging.polls >= 5)
    assert not sampler.stop()
    hanging.release.set()
    wait_until(lambda: not sampler_threads())
    assert len(taken) == 4


def test_two_runs_at_once_do_not_disturb_each_other():
    """Each has its own thread, its own readings and its own end."""
    one, two = Metering([Clockwork()]), Metering([Clockwork()])
    with one:
        with two:
            wait_until(lambda: two.describe()[0]["sampler"]["polls"] > 5)
        start_s = time.monotonic()
        time.sleep(0.05)
        end_s = time.monotonic()
        assert one.settle(end_s)
        energy_j = one.energy(start_s, end_s).gross_j
    assert energy_j == pytest.approx(100 * (end_s - start_s), rel=1e-6)
    assert two.energy(start_s, end_s).reason == "not_covered: c"
    assert not sampler_threads()


def test_readers_may_ask_while_the_sampler_writes():
    """Spans that end in the past are the same before and after more is sampled."""
    with Metering([Clockwork(period_s=0.001)]) as metering:
        start_s = time.monotonic()
        time.sleep(0.1)
        end_s = time.monotonic()
        metering.settle(end_s)

        def ask(_):
            return metering.energy(start_s, end_s).gross_j

        with ThreadPoolExecutor(4) as pool:
            answers = set(pool.map(ask, range(400)))
    assert len(answers) == 1
    assert answers.pop() == pytest.approx(100 * (end_s - start_s), rel=1e-6)


def test_an_exception_in_the_body_comes_out_unchanged():
    """Metering ends its thread, and leaves the error alone."""
    error = KeyError("mine")
    meter = Clockwork()
    with pytest.raises(KeyError) as caught, Metering([meter]):
        raise error
    assert caught.value is error
    assert meter.closed
    assert not sampler_threads()


def test_polls_that_come_too_late_are_told_as_loss():
    """A meter held up by another's slow polls gets less than it expected."""

    class Slow(Clockwork):
        def poll(self):
            time.sleep(0.1)
            return super().poll()

    starved = Clockwork(period_s=0.005)
    with Metering([starved, Slow(period_s=0.001)]) as metering:
        wait_until(lambda: starved.polls >= 4)
        state = metering.describe()[0]["sampler"]
    assert state["expected"] > 2 * state["polls"]
    assert "sampling_loss" in state["flags"]
