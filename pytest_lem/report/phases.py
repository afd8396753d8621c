"""What a token in and a token out cost, from a report of runs of several lengths."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pytest_lem.analysis.phases import Coefficient, Fit, Run, fit
from pytest_lem.records.record import Cycle, ExperimentRecord, Record

_LENGTHS = ("input_tokens", "output_tokens", "min_output_tokens", "seed", "prompts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """The fit over experiments that differ in their lengths alone, or the reason.

    One run is the mean window of one cycle.
    """

    experiments: list[str]
    fit: Fit | None
    reason: str | None
    estimated: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def phases(record: Record) -> list[Phases]:
    """A fit for each set of experiments that differ in nothing but their lengths."""
    groups: dict[str, list[ExperimentRecord]] = {}
    for one in record.experiments:
        groups.setdefault(_apart_from_lengths(one.spec), []).append(one)
    return [_phases(group) for group in groups.values()]


def lines(found: Phases) -> list[str]:
    """The coefficients with their intervals, and how well they hold."""
    head = f"{len(found.experiments)} experiments that differ in their lengths alone:"
    names = [f"    {name}" for name in found.experiments]
    if found.fit is None:
        return [head, *names, f"  no fit: {found.reason}"]
    one, mark = found.fit, "~" if found.estimated else ""
    doubt = (
        "lack of fit cannot be told without repeats and a fourth length"
        if one.lack_of_fit_p is None
        else f"lack of fit p = {one.lack_of_fit_p:.3g}"
    )
    return [
        head,
        *names,
        f"  fixed             {_told(one.fixed, mark)} J a window",
        f"  per input token   {_told(one.per_input_token, mark)} J/token",
        f"  per output token  {_told(one.per_output_token, mark)} J/token",
        f"  {one.runs} runs of {one.lengths} lengths; {doubt}",
    ]


def _told(one: Coefficient, mark: str) -> str:
    if one.low is None or one.high is None:
        return f"{mark}{one.value:.4g}"
    return f"{mark}{one.value:.4g} (95 %: {one.low:.4g} to {one.high:.4g})"


def _apart_from_lengths(spec: Mapping[str, Any]) -> str:
    work = {k: v for k, v in spec["workload"].items() if k not in _LENGTHS}
    model = {k: spec["model"].get(k) for k in ("name", "revision", "dtype")}
    same = {"backend": spec["backend"], "engine": spec["engine"]}
    return json.dumps({**same, "model": model, "work": work}, sort_keys=True)


def _phases(group: list[ExperimentRecord]) -> Phases:
    names = [one.id for one in group]
    estimated = any("estimated_energy" in one.flags for one in group)
    runs = [run for one in group for cycle in one.cycles for run in _runs(cycle)]
    try:
        found, reason = fit(runs), None
    except ValueError as error:
        found, reason = None, str(error) if runs else "no cycle has energy"
    return Phases(experiments=names, fit=found, reason=reason, estimated=estimated)


def _runs(cycle: Cycle) -> Iterator[Run]:
    windows = [window for window in cycle.windows if window.kind == "energy"]
    energy_j = cycle.metrics.get("energy_gross_j")
    if cycle.status == "complete" and windows and energy_j is not None:
        yield Run(
            input_tokens=windows[0].tokens.input,
            output_tokens=windows[0].tokens.output,
            energy_j=energy_j / len(windows),
        )
