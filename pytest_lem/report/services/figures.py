"""The values of a report that are told to others, and those that are not."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_lem.analysis.metrics import METRICS, QUALITIES, MetricInfo
from pytest_lem.gate.side import is_energy
from pytest_lem.records.record import ExperimentRecord, Record, SummaryRecord

# What nothing measured, by its flag: of energy, of answers, and of anything.
_ENERGY = {
    "estimated_energy": "estimated",
    "replayed_energy": "replayed",
    "synthetic_energy": "synthetic",
}
_ANSWERS = {"synthetic_perplexity": "synthetic"}
_ANYTHING = {"fake_engine": "synthetic"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A metric of an experiment, over cycles, of which `samples` has each.

    `guess` says what the value is where nothing measured it: estimated, replayed or
    synthetic. It stands before the name under which others keep the value, so that it
    is never one series with what was measured.
    """

    experiment: ExperimentRecord
    metric: str
    guess: str | None
    summary: SummaryRecord
    samples: tuple[float, ...]

    @property
    def info(self) -> MetricInfo:
        """Unit and direction."""
        return METRICS[self.metric]

    @property
    def name(self) -> str:
        """The metric's name, with what it is worth."""
        return prefixed(self.metric, self.guess)


def prefixed(name: str, guess: str | None) -> str:
    """The name of a value that nothing measured says so."""
    return f"{guess}_{name}" if guess else name


def guess(flags: Sequence[str], metric: str) -> str | None:
    """What a value is where nothing measured it; None where something did."""
    names = _ANYTHING | (_ENERGY if is_energy(metric) else {})
    names |= _ANSWERS if metric in QUALITIES else {}
    return next((word for flag, word in names.items() if flag in flags), None)


def figures(
    record: Record, metrics: Sequence[str], *, everything: bool
) -> tuple[list[Figure], list[str]]:
    """The values of these metrics, and a line for each reason to leave some out.

    Null is left out, and so is what nothing measured, unless `everything` is wanted.
    """
    found, left = [], Counter[str]()
    for experiment in record.experiments:
        for metric in metrics:
            one = _figure(experiment, metric)
            if one is None:
                why = experiment.nulls.get(f"summary.{metric}", "not measured")
                left[f"{metric} is null: {why}"] += 1
            elif one.guess and not everything:
                left[f"{metric} is {one.guess}: --all takes it, and marks it"] += 1
            else:
                found.append(one)
    total = len(record.experiments)
    return found, [f"left out {n} of {total}: {why}" for why, n in left.items()]


def _figure(experiment: ExperimentRecord, metric: str) -> Figure | None:
    summary = experiment.summary.get(metric)
    if summary is None:
        return None
    done = [one for one in experiment.cycles if one.status == "complete"]
    told = [cycle.metrics.get(metric) for cycle in done]
    return Figure(
        experiment=experiment,
        metric=metric,
        guess=guess(experiment.flags, metric),
        summary=summary,
        samples=tuple(value for value in told if value is not None),
    )
