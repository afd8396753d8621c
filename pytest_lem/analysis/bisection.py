"""The highest rate that meets a share, by bisection over trials that may be unsure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import NormalDist
from typing import Literal

from pytest_lem.analysis.goodput import wilson
from pytest_lem.analysis.stats import CI_LEVEL
from pytest_lem.spec.search import Search

Verdict = Literal["passed", "failed", "undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Requests sent at a rate, how many were good, and whether the engine kept up.

    `saturated` is None where that cannot be told.
    """

    rate_rps: float
    requests: int
    good: int
    saturated: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """What is known after some trials: the rate found lies below what did not pass.

    `rate_rps` is the highest rate that passed and `failed_rps` the lowest that failed,
    None where none did. `undecided_rps` are those above the first that could not be
    told. `stopped` is why there are no more trials: `width`, `trials`, or None while
    there are.
    """

    rate_rps: float | None
    failed_rps: float | None
    undecided_rps: list[float]
    stopped: Literal["width", "trials"] | None


def judge(trials: Sequence[Trial], share: float) -> Verdict:
    """What all trials of one rate say together.

    Passed and failed are sure by the 95 % interval of the share of good requests; a
    rate that the engine did not keep up with has failed, whatever its requests met.
    """
    requests = sum(one.requests for one in trials)
    if any(one.saturated for one in trials):
        return "failed"
    if not requests:
        return "undecided"
    low, high = wilson(sum(one.good for one in trials), requests)
    if low >= share:
        return "passed"
    return "failed" if high < share else "undecided"


def least_requests(share: float) -> int:
    """Requests of a rate that passes if all of them are good."""
    z = NormalDist().inv_cdf((1 + CI_LEVEL) / 2)
    return ceil(z * z * share / (1 - share))


def next_rate(trials: Sequence[Trial], asked: Search, start_rps: float) -> float | None:
    """The rate of the next trial; None where the search is over.

    An undecided rate is tried again. Then rates double until one does not pass, or
    halve until one does, and the middle of the two is tried: what is undecided counts
    as not passed.
    """
    if len(trials) >= asked.trials:
        return None
    if not trials:
        return start_rps
    last_rps = trials[-1].rate_rps
    again = [one for one in trials if one.rate_rps == last_rps]
    if judge(again, asked.share) == "undecided" and len(again) <= asked.repeats:
        return last_rps
    passed, above = _ends(trials, asked.share)
    if passed is None or above is None:
        return last_rps / 2 if passed is None else last_rps * 2
    return None if _close(passed, above, asked) else (passed + above) / 2


def bracket(trials: Sequence[Trial], asked: Search) -> Bracket:
    """What is known after these trials."""
    verdicts = _verdicts(trials, asked.share)
    passed, above = _ends(trials, asked.share)
    failed = [rate for rate, one in verdicts.items() if one == "failed"]
    unsure = [rate for rate, one in verdicts.items() if one == "undecided"]
    stopped: Literal["width", "trials"] | None = None
    if passed is not None and above is not None and _close(passed, above, asked):
        stopped = "width"
    elif len(trials) >= asked.trials:
        stopped = "trials"
    return Bracket(
        rate_rps=passed,
        failed_rps=min(failed, default=None),
        undecided_rps=sorted(rate for rate in unsure if rate > (passed or 0)),
        stopped=stopped,
    )


def _verdicts(trials: Sequence[Trial], share: float) -> dict[float, Verdict]:
    rates = dict.fromkeys(one.rate_rps for one in trials)
    return {
        rate: judge([one for one in trials if one.rate_rps == rate], share)
        for rate in rates
    }


def _ends(trials: Sequence[Trial], share: float) -> tuple[float | None, float | None]:
    """The highest rate that passed, and the lowest that did not."""
    verdicts = _verdicts(trials, share)
    passed = [rate for rate, one in verdicts.items() if one == "passed"]
    others = [rate for rate, one in verdicts.items() if one != "passed"]
    return max(passed, default=None), min(others, default=None)


def _close(passed: float, above: float, asked: Search) -> bool:
    return above - passed <= asked.width * passed * (1 + 1e-9)
