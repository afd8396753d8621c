"""The process that works for a self-check: the real one, and ones that fail."""

import time

import pytest

from pytest_lem.errors import MeterError
from pytest_lem.worker.exercise import Exercise

MODULE = "pytest_lem.engines.transformers.exercise"


def test_it_works_on_the_cpu_for_as_long_as_it_is_told():
    """Both kinds of work are stamped on the clock that all processes share."""
    pytest.importorskip("torch")
    with Exercise(MODULE, []) as work:
        assert work.device == "cpu"
        asked_s = time.monotonic()
        start_s, end_s = work.do("load", 0.3, 0.3)
        assert asked_s <= start_s
        assert end_s - start_s >= 0.3
        assert end_s <= time.monotonic()
        start_s, end_s = work.do("steps", 20, 1.0)
        assert end_s > start_s


def test_where_it_cannot_be_started_its_last_words_are_told():
    """A missing library is named, and no traceback is shown."""
    with pytest.raises(MeterError, match=r"the work ended: .*no_such_module_here"):
        Exercise("no_such_module_here", [])


def test_work_that_dies_is_an_error():
    """What it cannot do ends it, with the reason."""
    pytest.importorskip("torch")
    with Exercise(MODULE, []) as work:
        with pytest.raises(MeterError, match="the work ended: ValueError"):
            work.do("steps", float("nan"), 1.0)
