"""Schedules: of the law that was asked for, the same everywhere, or as recorded."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from pytest_lem.errors import ConfigError
from pytest_lem.spec.parameters.arrivals import Arrivals
from pytest_lem.spec.workload import Workload
from pytest_lem.workload.arrivals import by_times, rates_rps, schedule

PINNED = {
    "constant": ({"rate_rps": 3.0}, "e20084ce95cdbe1a"),
    "poisson": ({"rate_rps": 2.0}, "83f4ba5ea274bc7b"),
    "gamma": ({"rate_rps": 3.0, "burstiness": 0.5}, "74faeca9f73a3356"),
}


def gaps(arrivals, requests, *, seed):
    """Gaps of a schedule over their means."""
    gaps_s = np.diff(schedule(arrivals, requests, seed=seed)) / 1e9
    return gaps_s * rates_rps(arrivals, requests)


@pytest.mark.parametrize("mode", PINNED)
def test_a_seed_is_one_schedule_for_ever(mode):
    """On any platform, under any version of a library, and in any process."""
    options, digest = PINNED[mode]
    due_ns = schedule(Arrivals(mode=mode, **options), 500, seed=42)
    assert hashlib.sha256(repr(due_ns).encode()).hexdigest()[:16] == digest


def test_a_schedule_is_the_same_however_many_are_made_at_once():
    """It is made of nothing that others draw from as well."""
    wanted = Arrivals(mode="gamma", rate_rps=5, burstiness=0.7)
    with ThreadPoolExecutor(8) as pool:
        several = list(
            pool.map(lambda _: schedule(wanted, 2000, seed=3), range(8)),
        )
    assert several == [schedule(wanted, 2000, seed=3)] * 8


def test_a_shorter_schedule_is_the_beginning_of_a_longer_one():
    """Without a ramp, which ends where the schedule does."""
    steady = Arrivals(rate_rps=5)
    assert schedule(steady, 50, seed=1) == schedule(steady, 3000, seed=1)[:50]


def test_the_seed_is_the_workload_s_unless_the_arrivals_have_their_own():
    """Two seeds are two schedules."""
    assert schedule(Arrivals(rate_rps=5, seed=1), 9, seed=2) == schedule(
        Arrivals(rate_rps=5), 9, seed=1
    )
    assert schedule(Arrivals(rate_rps=5), 9, seed=1) != schedule(
        Arrivals(rate_rps=5), 9, seed=2
    )


def test_the_first_request_is_due_at_once_and_none_before_it():
    """Times never go back."""
    due_ns = schedule(Arrivals(mode="gamma", rate_rps=5, burstiness=0.1), 500, seed=0)
    assert due_ns[0] == 0
    assert due_ns == sorted(due_ns)


def test_constant_gaps_are_constant():
    """They differ by no more than a nanosecond, and do not drift."""
    due_ns = schedule(Arrivals(mode="constant", rate_rps=7), 100_000, seed=0)
    found = np.diff(due_ns)
    assert found.std() / found.mean() < 0.01
    assert found.max() - found.min() <= 1
    assert due_ns[-1] == pytest.approx(99_999 / 7 * 1e9, abs=1e3)


def test_poisson_gaps_are_exponential_and_counts_have_the_variance_of_their_mean():
    """In 97 of 100 seeds at least, both."""
    good = 0
    for seed in range(100):
        found = gaps(Arrivals(rate_rps=50), 2001, seed=seed)
        counts = np.bincount(np.cumsum(found).astype(int))[:-1]
        dispersion = counts.var(ddof=1) / counts.mean()
        p = stats.kstest(found, stats.expon.cdf).pvalue
        good += p > 0.01 and 0.8 < dispersion < 1.2
    assert good >= 97


@pytest.mark.parametrize("shape", [0.2, 0.7, 1.0, 3.0, 20.0])
def test_gamma_gaps_follow_their_law(shape):
    """Mean, spread, and the whole of the distribution."""
    wanted = Arrivals(mode="gamma", rate_rps=3, burstiness=shape)
    found = gaps(wanted, 10_001, seed=7)
    assert found.mean() == pytest.approx(1, rel=0.03 / min(1, shape) ** 0.5)
    assert found.var() == pytest.approx(1 / shape, rel=0.1 / min(1, shape))
    assert stats.kstest(found, stats.gamma(shape, scale=1 / shape).cdf).pvalue > 0.01


def test_the_mean_gap_is_that_of_the_rate():
    """Within 3 % over 10 000 gaps."""
    due_ns = schedule(Arrivals(rate_rps=4), 10_001, seed=42)
    assert due_ns[-1] / 1e9 == pytest.approx(2500, rel=0.03)


def test_a_ramp_goes_from_rate_to_rate():
    """By sums or by factors, from the first gap to the last."""
    steps = {"mode": "constant", "rate_rps": 1, "end_rate_rps": 4}
    assert rates_rps(Arrivals(**steps), 4) == [1, 2.5, 4]
    by_factors = Arrivals(**steps, ramp="exponential")
    assert rates_rps(by_factors, 4) == pytest.approx([1, 2, 4])
    due_s = [at / 1e9 for at in schedule(by_factors, 4, seed=0)]
    assert [b - a for a, b in pairwise(due_s)] == pytest.approx([1, 0.5, 0.25])


def test_a_ramp_changes_the_rate_and_not_the_law():
    """Poisson gaps times their rates are exponential still."""
    found = gaps(Arrivals(rate_rps=1, end_rate_rps=20), 3000, seed=1)
    assert stats.kstest(found, stats.expon.cdf).pvalue > 0.01


def test_recorded_times_are_kept_but_for_their_beginning(tmp_path):
    """The first time of the file is the start of the window."""
    file = tmp_path / "times.txt"
    file.write_text("10\n10.25\n\n10.25\n12\n")
    recorded = Arrivals(mode="trace", file=str(file))
    assert schedule(recorded, 3, seed=0) == [0, 250_000_000, 250_000_000]
    assert rates_rps(recorded, 3) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1\nsoon\n", "line 2: 'soon' is no time in seconds"),
        ("1\ninf\n", "line 2: 'inf' is no time in seconds"),
        ("2\n1.5\n", "line 2: 1.5 s is before 2.0 s"),
        ("1\n", "has 1 times and a window 2 requests"),
        ("", "has 0 times and a window 2 requests"),
    ],
)
def test_a_file_without_times_is_refused_with_its_line(tmp_path, text, told):
    """Before anything is started."""
    file = tmp_path / "times.txt"
    file.write_text(text)
    with pytest.raises(ConfigError, match=told):
        schedule(Arrivals(mode="trace", file=str(file)), 2, seed=0)


def test_a_file_that_is_not_there_is_named():
    """With what the system says."""
    with pytest.raises(ConfigError, match=r"file no\.txt cannot be read: No such file"):
        schedule(Arrivals(mode="trace", file="no.txt"), 2, seed=0)


def test_recorded_times_enter_an_identity_by_themselves(tmp_path):
    """Wherever the file lies, and however its numbers are written."""
    for name, text in (("a", "1\n2\n"), ("b", "1.0\n\n2.00"), ("c", "1\n3\n")):
        (tmp_path / name).write_text(text)
    one, same, other = (
        by_times(
            Workload(requests=2, arrivals={"mode": "trace", "file": str(tmp_path / n)})
        )
        for n in "abc"
    )
    assert one == same != other
    drawn = Workload(requests=2, arrivals={"rate_rps": 1})
    assert by_times(drawn) is drawn
