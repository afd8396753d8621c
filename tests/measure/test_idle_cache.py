"""Idle readings of earlier: what they depend on, and when they are none."""

import json

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.measure.idle_cache import IdleCache
from pytest_lem.records.record import IdlePower

READING = IdlePower(
    state="model_loaded",
    power_w=120.5,
    std_w=1.5,
    samples=5,
    duration_s=5.0,
    method="counter_ring",
    age_s=0.0,
    per_device=[{"device": "GPU-a", "scope": "gpu", "power_w": 120.5}],
)
GPU = ["GPU-a", "580.1", True, 700.0]
KEY = {"state": "model_loaded", "work": {"model": "m"}, "meters": [["nvml", "1"]]}


@pytest.fixture
def make(tmp_path):
    """Caches in one folder, at an hour of the wall clock."""

    def make(now_s=1000.0, **machine):
        return IdleCache(
            directory=tmp_path / "idle",
            ttl_s=3600.0,
            machine={"host": "h", "gpus": [GPU], **machine},
            clock_s=lambda: now_s,
        )

    return make


def test_what_was_kept_is_found_with_its_age(make):
    """By another session, minutes later."""
    make().save(KEY, READING)
    assert make(1090.0).load(KEY) == (READING, 90.0)


@pytest.mark.parametrize("now_s", [4601.0, 999.0])
def test_a_reading_expires(make, now_s):
    """After its time, and where the clock was set back behind it."""
    make().save(KEY, READING)
    assert make(4600.0).load(KEY) is not None
    assert make(now_s).load(KEY) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"gpus": [["GPU-b", *GPU[1:]]]},
        {"gpus": [GPU, ["GPU-b", *GPU[1:]]]},
        {"gpus": [["GPU-a", "581.0", True, 700.0]]},
        {"gpus": [["GPU-a", "580.1", False, 700.0]]},
        {"gpus": [["GPU-a", "580.1", True, 500.0]]},
        {"host": "other"},
    ],
    ids=["gpu", "gpus", "driver", "persistence", "limit", "host"],
)
def test_another_state_of_the_machine_is_another_reading(make, changed):
    """Set of GPUs, driver, persistence mode, power limit; and the machine itself."""
    make().save(KEY, READING)
    assert make(**changed).load(KEY) is None


@pytest.mark.parametrize(
    "changed", [{"state": "context"}, {"work": {"model": "n"}}, {"meters": []}]
)
def test_another_idle_state_is_another_reading(make, changed):
    """So are another model and another meter."""
    make().save(KEY, READING)
    assert make().load({**KEY, **changed}) is None


def break_(text):
    return text[: len(text) // 2]


def foreign(text):
    return json.dumps({**json.loads(text), "format": 2})


def moved(text):
    tree = json.loads(text)
    tree["key"]["host"] = "elsewhere"
    return json.dumps(tree)


@pytest.mark.parametrize("damage", [break_, foreign, moved, lambda text: "[]"])
def test_a_file_that_is_none_of_ours_is_made_anew(make, tmp_path, damage):
    """Cut short, of another version, of another key, or something else."""
    make().save(KEY, READING)
    (path,) = (tmp_path / "idle").iterdir()
    path.write_text(damage(path.read_text()))
    assert make().load(KEY) is None
    make().save(KEY, READING)
    assert make().load(KEY) == (READING, 0.0)
    assert list((tmp_path / "idle").iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_told(make, tmp_path):
    """With the variable that changes it."""
    (tmp_path / "idle").write_text("a file")
    with pytest.raises(ConfigError, match="set LEM_CACHE_DIR"):
        make().save(KEY, READING)
