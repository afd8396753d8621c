"""Warm-up policies as they are typed, and the limits of an experiment's effort."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lem.errors import ConfigError
from pytest_lem.spec.effort import EFFORT_KEYS, Effort, Warmup


def test_a_warmup_by_variation_is_read_term_by_term():
    """Threshold, window and bounds come from the text."""
    policy = Warmup.parse("cv:0.1,window=4,min=6,max=20")
    assert policy == Warmup(kind="cv", cv=0.1, window=4, least=6, most=20)


def test_terms_left_out_have_their_defaults():
    """A bare threshold keeps window 5, min 5 and max 50."""
    assert Warmup.parse("cv:0.05") == Warmup()
    assert Warmup.parse(" cv:0.05, max=9 ") == Warmup(most=9)


def test_a_fixed_count_is_both_bounds():
    """Exactly so many iterations, neither fewer nor more."""
    policy = Warmup.parse("fixed:7")
    assert (policy.kind, policy.least, policy.most) == ("fixed", 7, 7)
    assert Warmup.parse("fixed:1").most == 1


def test_off_means_no_iteration():
    """The policy leaves nothing to do."""
    policy = Warmup.parse("off")
    assert (policy.kind, policy.least, policy.most) == ("off", 0, 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "on",
        "cv",
        "cv:",
        "cv:x",
        "cv:0",
        "cv:-0.1",
        "cv:1",
        "cv:nan",
        "cv:inf",
        "cv:0.05,window=1",
        "cv:0.05,window",
        "cv:0.05,windows=5",
        "cv:0.05,min=-1",
        "cv:0.05,min=9,max=8",
        "cv:0.05,max=2.5",
        "cv:0.05;window=5",
        "fixed",
        "fixed:",
        "fixed:0",
        "fixed:-3",
        "fixed:2.5",
        "off:3",
        "CV:0.05",
    ],
)
def test_a_bad_policy_is_refused_with_the_three_that_are_valid(text):
    """The error repeats what was typed and shows what can be."""
    with pytest.raises(ConfigError) as caught:
        Warmup.parse(text)
    assert repr(text) in caught.value.message
    for valid in ("'cv:0.05,window=5,min=5,max=50'", "'fixed:N'", "'off'"):
        assert valid in caught.value.message


def test_a_window_that_can_never_fill_is_refused():
    """Ten times cannot agree where at most seven are taken."""
    with pytest.raises(ConfigError, match="never converges: its window of 10"):
        Warmup.parse("cv:0.05,window=10,max=7")


@given(
    cv=st.floats(1e-9, 1, exclude_max=True),
    window=st.integers(2, 50),
    least=st.integers(0, 50),
    more=st.integers(0, 1000),
)
def test_a_policy_reads_back_what_it_prints(cv, window, least, more):
    """Text in a record says the policy exactly."""
    most = max(window, least) + more
    policy = Warmup(cv=cv, window=window, least=least, most=most)
    assert Warmup.parse(str(policy)) == policy


@pytest.mark.parametrize("text", ["off", "fixed:12", "cv:0.05,window=5,min=5,max=50"])
def test_a_policy_prints_as_it_is_typed(text):
    """Nothing is rephrased."""
    assert str(Warmup.parse(text)) == text


def test_the_default_effort_is_what_the_documentation_says():
    """Three cycles, automatic windows, ten seconds each."""
    effort = Effort()
    assert (effort.cycles, effort.windows, effort.max_seconds) == (3, "auto", 10.0)
    assert str(effort.warmup) == "cv:0.05,window=5,min=5,max=50"
    assert EFFORT_KEYS == (
        "cycles",
        "windows",
        "min_seconds",
        "max_seconds",
        "warmup",
        "timeout",
        "cold_start",
    )


@pytest.mark.parametrize(
    "values", [{"cycles": 1}, {"cycles": 20}, {"windows": 1}, {"max_seconds": 0.001}]
)
def test_the_ends_of_the_ranges_are_valid(values):
    """The limits are the ones that the messages name."""
    Effort(**values)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"cycles": 0}, "cycles=0 is not between 1 and 20"),
        ({"cycles": 21}, "cycles=21 is not between 1 and 20"),
        ({"cycles": 2.5}, "cycles=2.5 is not a whole number"),
        ({"cycles": "3"}, "cycles='3' is not a whole number"),
        ({"cycles": True}, "cycles=True is not a whole number"),
        ({"windows": 0}, "windows=0 is neither 'auto' nor at least 1"),
        ({"windows": 2.5}, "windows=2.5 is neither"),
        ({"windows": "three"}, "windows='three' is neither"),
        ({"max_seconds": 0}, "max_seconds=0 is not above 0"),
        ({"max_seconds": math.nan}, "max_seconds=nan is not above 0"),
        ({"timeout": -1.0}, "timeout=-1.0 is not above 0"),
        ({"timeout": math.inf}, "timeout=inf is not above 0 and finite"),
        ({"timeout": "1"}, "timeout='1' is not above 0"),
        ({"warmup": 5}, "warmup=5 is none of"),
        ({"warmup": None}, "warmup=None is none of"),
    ],
)
def test_an_effort_out_of_range_is_refused_by_name(values, told):
    """The message has the key, the value and the range."""
    with pytest.raises(ConfigError) as caught:
        Effort(**values)
    assert told in caught.value.message


def test_all_that_is_wrong_with_an_effort_is_told_at_once():
    """One line for each value."""
    with pytest.raises(ConfigError) as caught:
        Effort(cycles=0, windows=0, max_seconds=-1, timeout=0)
    names = [line.split("=")[0] for line in caught.value.message.splitlines()]
    assert names == ["cycles", "windows", "max_seconds", "timeout"]
