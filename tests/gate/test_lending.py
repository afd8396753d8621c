"""Noise that `lem aa` stored: when it is lent, and why it is not."""

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.gate.lending import stored_of
from pytest_lem.gate.limit import Limit
from pytest_lem.gate.shelf import read_noise, shelf, store_noise
from pytest_lem.gate.side import sides
from pytest_lem.gate.verdict import gate
from pytest_lem.report.gate import notes

ENERGY = "energy_per_output_token_j"
LIMITS = [Limit.parse(f"{ENERGY}:5%")]


@pytest.fixture
def store(make_report):
    """Store the noise of sessions with these values, a cycle each."""

    def store(values, **changed):
        told = [
            side
            for day, value in enumerate(values, 1)
            for side in sides(make_report([value], day=day, **changed))
        ]
        store_noise([stored_of(told, ENERGY)])

    return store


@pytest.fixture
def judge(make_report):
    """The finding on a run of this value, against one session of 1 J/token."""

    def judge(value, **changed):
        run, old = (
            make_report([v], day=day, **changed) for v, day in ((value, 20), (1, 9))
        )
        (found,) = gate([run], [old], LIMITS, stored=read_noise())
        return found

    return judge


def test_noise_of_this_machine_stands_in_for_sessions_of_the_reference(store, judge):
    """Which is told, with how old it is."""
    assert judge(1.25).verdict == "inconclusive"
    store([0.99, 1.0, 1.0, 1.01])
    found = judge(1.25)
    assert (found.verdict, found.shift.rule) == ("regression", "stored_noise")
    told = "noise of 4 sessions stored 2026-01-04, 16.0 days before the run"
    assert found.to_json()["noise"] == told
    assert f"judged by {told}" in " ".join(notes(found))
    assert judge(1.01).verdict == "pass"


def test_noise_of_another_driver_power_limit_or_machine_is_refused_by_name(
    store, judge
):
    """The verdict is inconclusive, and says what differs."""
    gpu = {"uuid": "GPU-1", "name": "H100", "driver_version": "1", "power_limit_w": 7.0}
    store([0.99, 1.0, 1.01], gpu=gpu)
    for key, other, said in (
        ("driver_version", "2", "driver ['1'] and ['2']"),
        ("power_limit_w", 5.0, "power_limit_w [7.0] and [5.0]"),
        ("uuid", "GPU-2", "machine ['GPU-1'] and ['GPU-2']"),
    ):
        found = judge(1.25, gpu={**gpu, key: other})
        assert found.verdict == "inconclusive"
        assert found.reasons[1] == (
            f"noise of 3 sessions stored 2026-01-03 is not used: {said}"
        )
    assert judge(1.25, gpu=gpu).verdict == "regression"


def test_what_is_stored_again_is_replaced_and_other_machines_stay(store):
    """The last word counts, machine by machine."""
    store([0.99, 1.0, 1.01])
    store([0.9, 1.0, 1.1], gpu={"uuid": "GPU-1"})
    store([1.0, 1.0, 1.0])
    assert [round(one.std, 3) for one in read_noise()] == [0.0, 0.1]
    store([0.8, 1.0, 1.2], flags=["cold_start"])
    assert [round(one.std, 1) for one in read_noise()] == [0.0, 0.1, 0.2]


def test_a_file_that_is_no_noise_is_refused(store):
    """It is never taken for none."""
    shelf().write_text("{}")
    with pytest.raises(ConfigError, match=r"noise\.json is no noise stored by"):
        read_noise()
