"""The search for a rate: where it goes, when it ends, and what it claims."""

import pytest

from pytest_lem.analysis.bisection import (
    Trial,
    bracket,
    judge,
    least_requests,
    next_rate,
)
from pytest_lem.analysis.goodput import wilson
from pytest_lem.spec.search import Search

START = 8.0


def trial(rate, good=100, *, saturated=False):
    return Trial(rate_rps=rate, requests=100, good=good, saturated=saturated)


def searched(good_at, asked, start=START):
    """All trials of a search, where so many of 100 requests are good at a rate."""
    trials = []
    while (rate := next_rate(trials, asked, start)) is not None:
        trials.append(trial(rate, good_at(rate)))
    return trials


@pytest.mark.parametrize(
    ("good", "verdict"), [(100, "passed"), (90, "undecided"), (70, "failed")]
)
def test_a_verdict_is_sure_by_the_interval_of_the_share(good, verdict):
    """Neither is said where the interval holds the share asked for."""
    assert judge([trial(1.0, good)], 0.9) == verdict


def test_trials_of_one_rate_are_judged_together():
    """What one leaves open another may decide; a lost pace is never good."""
    assert judge([trial(1.0, 95)], 0.9) == "undecided"
    assert judge([trial(1.0, 95)] * 3, 0.9) == "passed"
    assert judge([trial(1.0), trial(1.0, saturated=True)], 0.9) == "failed"


@pytest.mark.parametrize("threshold", [0.3, 7.9, 8.0, 11.0, 300.0])
def test_a_sharp_limit_is_bracketed_as_closely_as_asked(threshold):
    """From far below or above it."""
    asked = Search(width=0.05, trials=40)
    trials = searched(lambda rate: 100 if rate <= threshold else 0, asked)
    found = bracket(trials, asked)
    assert found.stopped == "width"
    assert found.rate_rps <= threshold < found.failed_rps
    assert found.failed_rps <= found.rate_rps * 1.05 * 1.001
    assert found.undecided_rps == []


def test_an_undecided_rate_is_tried_again_and_then_not_claimed():
    """It stands in the result between what passed and what failed."""
    asked = Search(width=0.1, repeats=2)
    good = {True: 100, False: 20}
    trials = searched(
        lambda rate: 90 if 12 < rate < 14 else good[rate < 13], asked, start=13.0
    )
    assert [one.rate_rps for one in trials[:4]] == [13.0, 13.0, 13.0, 6.5]
    found = bracket(trials, asked)
    assert found.rate_rps < 12
    assert 13.0 in found.undecided_rps
    assert found.failed_rps is None


def test_the_search_ends_with_its_trials():
    """Whether nothing has passed or nothing has failed."""
    asked = Search(trials=4)
    none = bracket(searched(lambda _rate: 0, asked), asked)
    assert (none.rate_rps, none.failed_rps, none.stopped) == (None, START / 8, "trials")
    every = bracket(searched(lambda _rate: 100, asked), asked)
    assert (every.rate_rps, every.failed_rps) == (START * 8, None)
    assert every.stopped == "trials"
    assert bracket([trial(START)], asked).stopped is None


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_fewer_requests_could_not_pass_even_if_all_are_good(share):
    """So they are refused before anything runs."""
    least = least_requests(share)
    assert wilson(least, least)[0] >= share > wilson(least - 1, least - 1)[0]


def test_a_search_is_typed_as_it_is_recorded():
    """Terms that are left out have their defaults."""
    asked = Search.parse("max-goodput:share=0.99, trials=9")
    assert (asked.share, asked.width, asked.trials, asked.repeats) == (0.99, 0.1, 9, 2)
    assert Search.parse(str(asked)) == asked
    assert Search.parse("max-goodput") == Search()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("most", "is not 'max-goodput:share"),
        ("max-goodput:shre=1", "has no term 'shre=1'"),
        ("max-goodput:trials=x", "has no number in 'trials=x'"),
        ("max-goodput:share=1", "not between 0 and 1"),
        ("max-goodput:trials=0", "not 1 to 1000"),
    ],
)
def test_what_is_no_search_is_refused(text, why):
    """With what may be written."""
    with pytest.raises(ValueError, match=why):
        Search.parse(text)
