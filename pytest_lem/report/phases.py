"""What a token in and a token out cost, from a report of runs of several lengths."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from pytest_lem.analysis.phases import Coefficient, Fit, Run, fit
from pytest_lem.records.record import Cycle, ExperimentRecord, Record
from pytest_lem.report.table import cell, mark, plain

CAPTION = (
    "Prefill per input token, decode per output token after the first, of requests in "
    "batches of so many."
)
PHASES = ("prefill", "decode")

_LENGTHS = (
    "input_tokens",
    "input_lengths",
    "output_tokens",
    "output_lengths",
    "min_output_tokens",
    "seed",
    "prompts",
    "prompt_options",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """The fit over experiments that differ in their lengths alone, or the reason.

    One run is the mean window of one cycle. `measured` has what was cut from token
    stamps: for each experiment that has it, its prefill and decode.
    """

    experiments: list[str]
    measured: dict[str, dict[str, float | None]]
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
        groups.setdefault(_apart_from_lengths(one), []).append(one)
    return [_phases(group) for group in groups.values()]


def lines(found: Phases) -> list[str]:
    """The coefficients with their intervals, and how well they hold."""
    head = f"{len(found.experiments)} experiments that differ in their lengths alone:"
    names = [f"    {name}" for name in found.experiments]
    cut = list(_measured_lines(found))
    if found.fit is None:
        return [head, *names, f"  no fit: {found.reason}", *cut]
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
        *cut,
    ]


def row(one: ExperimentRecord) -> dict[str, str] | None:
    """The row of an experiment whose prefill and decode were told apart."""
    if not _known(one):
        return None
    found, doubt = one.summary, mark(one)
    row = {"batch": str(_batch(one))}
    for phase, token in zip(PHASES, ("input", "output"), strict=True):
        energy = found.get(f"energy_{phase}_per_{token}_token_j")
        power = found.get(f"{phase}_power_w")
        row[f"{phase} J/token"] = cell(energy, doubt)
        row[f"{phase} W"] = (doubt if power else "") + plain(power)
    return row


def _known(one: ExperimentRecord) -> bool:
    return any(f"{phase}_power_w" in one.summary for phase in PHASES)


def _batch(one: ExperimentRecord) -> int:
    """Requests at once where the phases were cut: one in a latency window."""
    windows = [w for c in one.cycles if c.status == "complete" for w in c.windows]
    cut = [w for w in windows if w.phases and w.phases["available"]]
    energy = [size for w in cut if w.kind == "energy" for size in w.batches]
    return max(energy, default=1)


def _measured_lines(found: Phases) -> Iterator[str]:
    """What was measured of each phase, to be held against the fit."""
    doubt = "~" if found.estimated else ""
    for name, values in found.measured.items():
        yield f"  measured, batches of {values['batch']}: {name}"
        for phase, token in zip(PHASES, ("input", "output"), strict=True):
            energy_j = values[f"energy_{phase}_per_{token}_token_j"]
            power_w = values[f"{phase}_power_w"]
            told = "-"
            if energy_j is not None and power_w is not None:
                told = (
                    f"{doubt}{energy_j:.4g} J/{token} token at {doubt}{power_w:.4g} W"
                )
            yield f"    {phase:<8}{told}"


def _measured(one: ExperimentRecord) -> dict[str, float | None]:
    found: dict[str, float | None] = {"batch": _batch(one)}
    for phase, token in zip(PHASES, ("input", "output"), strict=True):
        for name in (f"energy_{phase}_per_{token}_token_j", f"{phase}_power_w"):
            each = one.summary.get(name)
            found[name] = each.value if each else None
    return found


def _told(one: Coefficient, mark: str) -> str:
    if one.low is None or one.high is None:
        return f"{mark}{one.value:.4g}"
    return f"{mark}{one.value:.4g} (95 %: {one.low:.4g} to {one.high:.4g})"


def _apart_from_lengths(one: ExperimentRecord) -> str:
    spec = one.spec
    work = {k: v for k, v in spec["workload"].items() if k not in _LENGTHS}
    model = {k: spec["model"].get(k) for k in ("name", "revision", "dtype")}
    same = {"backend": spec["backend"], "engine": spec["engine"], "cold": one.cold}
    return json.dumps({**same, "model": model, "work": work}, sort_keys=True)


def _phases(group: list[ExperimentRecord]) -> Phases:
    names = [one.id for one in group]
    estimated = any("estimated_energy" in one.flags for one in group)
    runs = [run for one in group for cycle in one.cycles for run in _runs(cycle)]
    try:
        found, reason = fit(runs), None
    except ValueError as error:
        found, reason = None, str(error) if runs else "no cycle has energy"
    return Phases(
        experiments=names,
        measured={one.id: _measured(one) for one in group if _known(one)},
        fit=found,
        reason=reason,
        estimated=estimated,
    )


def _runs(cycle: Cycle) -> Iterator[Run]:
    windows = [window for window in cycle.windows if window.kind == "energy"]
    energy_j = cycle.metrics.get("energy_gross_j")
    if cycle.status == "complete" and windows and energy_j is not None:
        yield Run(
            input_tokens=windows[0].tokens.input,
            output_tokens=windows[0].tokens.output,
            energy_j=energy_j / len(windows),
        )
