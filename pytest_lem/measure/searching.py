"""Trials of an experiment at rates that a search asks for, each with a record."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from pytest_lem.analysis.bisection import Bracket, Trial, bracket, judge, next_rate
from pytest_lem.errors import GenerationError
from pytest_lem.measure.cycle import (
    carry_out,
    energy_passes,
    latency_pass,
    warm_engine,
)
from pytest_lem.measure.laboratory import Laboratory
from pytest_lem.measure.notebook import Notebook, now
from pytest_lem.measure.resting import rest_before
from pytest_lem.measure.tenants import look_for_others
from pytest_lem.records.record import Cycle
from pytest_lem.spec.effort import Warmup
from pytest_lem.spec.experiment import Experiment
from pytest_lem.spec.search import Search


def search_rate(
    lab: Laboratory,
    experiment: Experiment,
    asked: Search,
    index: int,
    keep: Callable[[Cycle], None],
) -> Bracket:
    """Try rates from that of the workload on, and hand the record of each to `keep`.

    The engine is loaded and warmed up once. A trial that breaks ends the search.
    """
    trials: list[Trial] = []
    arrivals = experiment.workload.arrivals
    start_rps = arrivals.rate_rps if arrivals else None
    if start_rps is None:
        msg = "a search starts at the rate of a workload that has one"
        raise ValueError(msg)
    while (rate_rps := next_rate(trials, asked, start_rps)) is not None:
        number = len(trials)
        told = {
            "asked": str(asked),
            "start_rps": start_rps,
            "rate_rps": rate_rps,
            "number": number,
            "repeat": _tried(trials, rate_rps),
        }
        notes = Notebook(
            experiment=_trial_of(experiment, rate_rps, trials),
            index=index,
            started_at=now(),
            trial=number,
        )

        def kept(cycle: Cycle, told: dict[str, Any] = told) -> None:
            if cycle.status == "complete":
                cycle = cycle.model_copy(update={"status": "trial"})
                told = {**told, **_judged(cycle, told["rate_rps"], trials, asked)}
            keep(cycle.model_copy(update={"trial": told}))

        lab.progress.phase(f"trial {number + 1} at {rate_rps:.4g}/s")
        cycle = carry_out(lab, notes, _measure, kept)
        if len(trials) == number:
            reason = (cycle.goodput or {}).get("reason")
            raise GenerationError(f"a trial at {rate_rps:g}/s has no goodput: {reason}")
    return bracket(trials, asked)


def at_rate(experiment: Experiment, rate_rps: float, draw: int = 0) -> Experiment:
    """The experiment with another rate; `draw` above 0 has gaps of its own."""
    workload = experiment.workload
    if workload.arrivals is None:
        return experiment
    changed: dict[str, Any] = {"rate_rps": rate_rps}
    if draw:
        seed = workload.arrivals.seed
        changed["seed"] = (workload.seed if seed is None else seed) + draw
    arrivals = workload.arrivals.model_copy(update=changed)
    workload = workload.model_copy(update={"arrivals": arrivals})
    return replace(experiment, workload=workload)


def _trial_of(
    experiment: Experiment, rate_rps: float, before: list[Trial]
) -> Experiment:
    """One window of it at the rate; only the first trial warms up."""
    effort = replace(experiment.effort, windows=1)
    if before:
        effort = replace(effort, warmup=Warmup.parse("off"))
    one = at_rate(experiment, rate_rps, _tried(before, rate_rps))
    return replace(one, effort=effort)


def _tried(trials: list[Trial], rate_rps: float) -> int:
    return sum(one.rate_rps == rate_rps for one in trials)


def _measure(lab: Laboratory, notes: Notebook) -> None:
    """The window that is judged, and no other."""
    rest_before(lab, notes)
    bench = lab.bench(notes.experiment, notes.index)
    notes.bench = bench
    notes.flags |= set(bench.loaded.flags)
    look_for_others(lab, notes)
    if notes.experiment.effort.warmup.kind != "off":
        notes.warmed = warm_engine(lab, notes, bench)
        notes.thermal_floor_s = lab.rest_warm()
    notes.idle = lab.idle_of(bench)
    if notes.experiment.workload.streaming:
        latency_pass(lab, notes, bench)
    else:
        energy_passes(lab, notes, bench)
    lab.progress.phase("settle")
    lab.metering.settle(notes.passes[-1].end_s)


def _judged(
    cycle: Cycle, rate_rps: float, trials: list[Trial], asked: Search
) -> dict[str, Any]:
    """The cycle as the last of the trials, and what all at its rate say."""
    found: Mapping[str, Any] = cycle.goodput or {}
    if found.get("requests") is None:
        return {}
    sent = cycle.windows[-1].arrivals or {}
    last = Trial(
        rate_rps=rate_rps,
        requests=found["requests"],
        good=found["good"],
        saturated=sent.get("saturated"),
    )
    trials.append(last)
    same = [one for one in trials if one.rate_rps == last.rate_rps]
    return {**asdict(last), "verdict": judge(same, asked.share)}
