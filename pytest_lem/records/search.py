"""What a search for a rate has found, from the trials that are on record."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pytest_lem.analysis.bisection import Trial, bracket, judge
from pytest_lem.records.goodput import pooled_goodput
from pytest_lem.records.record import Cycle
from pytest_lem.spec.search import Search


def without_trials(cycles: Sequence[Cycle]) -> list[Cycle]:
    """The cycles that are no trials; a trial that broke stays, as what went wrong."""
    return [one for one in cycles if one.status != "trial"]


def search_record(cycles: Sequence[Cycle]) -> dict[str, Any] | None:
    """The bracket, why the search stopped, and what is not known; None without trials.

    `confirmation` is the verdict on the cycles that were measured at the rate found,
    None where there are none.
    """
    tried = [one.trial for one in cycles if one.trial is not None]
    if not tried:
        return None
    asked = Search.parse(tried[0]["asked"])
    known = [one for one in tried if "verdict" in one]
    trials = [Trial(**{k: one[k] for k in Trial.__slots__}) for one in known]
    found = bracket(trials, asked)
    confirmation = _confirmation(cycles, asked)
    windows = [w for cycle in cycles if cycle.trial is not None for w in cycle.windows]
    doubts = {
        "nothing_passed": found.rate_rps is None,
        "nothing_failed": found.failed_rps is None,
        "undecided_rates": bool(found.undecided_rps),
        "stopped_early": found.stopped != "width",
        "saturation_unknown": any(one.saturated is None for one in trials),
        "sent_late": any("sent_late" in one.flags for one in windows),
        "not_confirmed": confirmation != "passed",
    }
    nulls = {
        name: reason
        for name, value, reason in (
            ("rate_rps", found.rate_rps, "nothing_passed"),
            ("failed_rps", found.failed_rps, "nothing_failed"),
            ("stopped", found.stopped, "not_finished"),
            ("confirmation", confirmation, "no_complete_cycle"),
        )
        if value is None
    }
    return {
        "asked": str(asked),
        "start_rps": tried[0]["start_rps"],
        **asdict(found),
        "trials": len(tried),
        "confirmation": confirmation,
        "doubts": [name for name, true in doubts.items() if true],
        "nulls": nulls,
    }


def search_flags(found: Mapping[str, Any] | None) -> set[str]:
    """What is to be said of an experiment whose rate was searched for."""
    doubts = found["doubts"] if found else ()
    names = {"undecided_rates": "search_undecided", "not_confirmed": "search_unsure"}
    return {flag for name, flag in names.items() if name in doubts}


def _confirmation(cycles: Sequence[Cycle], asked: Search) -> str | None:
    done = [one for one in cycles if one.status == "complete"]
    found = pooled_goodput(done)
    if not found["requests"]:
        return None
    windows = [window for cycle in done for window in cycle.windows]
    timed = [one for one in windows if one.kind == "latency"] or windows
    full = any((one.arrivals or {}).get("saturated") for one in timed)
    counted = {"requests": found["requests"], "good": found["good"]}
    return judge([Trial(rate_rps=0.0, saturated=full, **counted)], asked.share)
