"""What drives a metric: shares of its variance by setting, and what settings change."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import compress
from math import log
from typing import Any

from pytest_lem.analysis.factorial import Design, Term
from pytest_lem.analysis.gating import holm
from pytest_lem.analysis.metrics import HEADLINES, METRICS
from pytest_lem.analysis.variance import Effect, Partition, Source, effects, partition
from pytest_lem.gate.side import Side
from pytest_lem.records.record import Record
from pytest_lem.report.factors import all_sides, columns, grouped, guesses
from pytest_lem.report.services.figures import guess
from pytest_lem.report.table import NONE, figure, probability, table, visible

# Of pairs of settings, so many effects are shown; all are in JSON and CSV.
_PAIRS_SHOWN = 10
_RANDOM = ("shuffled", "latin_square")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """A metric over a grid of experiments: where its variance comes from.

    Without a partition `reason` says why there is none. `scale` is `linear` in the
    metric's unit, or `log`, where effects are of natural logarithms.
    """

    metric: str
    group: str | None
    sides: Sequence[Side]
    scale: str
    together: dict[str, list[str]] = field(default_factory=dict)
    balanced: bool = False
    partition: Partition | None = None
    effects: Sequence[Effect] = ()
    reason: str | None = None

    def named(self, term: Term) -> str:
        """A term with what only changes together with it."""
        return " x ".join("+".join([one, *self.together[one]]) for one in term)

    @property
    def p_of_all(self) -> dict[Term, float]:
        """The probabilities, each made good for being one of so many."""
        told = [one for one in self.sources if one.p is not None]
        adjusted = holm([one.p for one in told if one.p is not None])
        return {one.term: p for one, p in zip(told, adjusted, strict=True)}

    @property
    def sources(self) -> Sequence[Source]:
        """The terms; none where there is no partition."""
        return self.partition.sources if self.partition else ()

    @property
    def unit(self) -> str:
        """Of effects."""
        return "ln" if self.scale == "log" else METRICS[self.metric].unit

    @property
    def guess(self) -> str | None:
        """What values are that nothing measured."""
        words = (guess(one.experiment.flags, self.metric) for one in self.sides)
        return next((one for one in words if one), None)

    def rows(self) -> list[dict[str, Any]]:
        """Plain values: a row for each share, then for each effect."""
        about = {
            "metric": self.metric,
            "group": self.group,
            "scale": self.scale,
            "experiments": len(self.sides),
            "guess": self.guess,
        }
        if self.partition is None:
            return [{**about, "kind": "share", "term": None, "reason": self.reason}]
        adjusted = self.p_of_all
        shares = [
            {
                "term": self.named(one.term),
                "share": one.share,
                "degrees": one.degrees,
                "p": one.p,
                "p_holm": adjusted.get(one.term),
                "reason": one.reason,
            }
            for one in self.sources
        ]
        why = "one cycle of each" if self.partition.noise is None else None
        shares += [
            {"term": "noise", "share": self.partition.noise, "reason": why},
            {"term": "rest", "share": self.partition.rest, "reason": None},
        ]
        changes = [
            {
                "term": self.named(one.term),
                "first": list(one.first),
                "levels": list(one.levels),
                "effect": one.value,
                "ci_low": one.low,
                "ci_high": one.high,
                "unit": self.unit,
            }
            for one in self.effects
        ]
        return [
            *({**about, "kind": "share", **one} for one in shares),
            *({**about, "kind": "effect", **one} for one in changes),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap:
    """Shares of variance, a row for each setting and a column for each metric.

    A share is None where the grid does not tell it. Pairs of settings are in none.
    """

    settings: Sequence[str]
    metrics: Sequence[str]
    shares: Sequence[Sequence[float | None]]


def sensitivity(
    records: Iterable[Record],
    metrics: Sequence[str] = HEADLINES,
    by: str | None = None,
    *,
    logs: bool = False,
) -> list[Sensitivity]:
    """Of each metric over all experiments, or over those of each value of the key.

    Raises ConfigError for a key that none has.
    """
    groups = grouped(all_sides(records), by)
    return [
        _whole(metric, group, there, design, logs=logs)
        for group, there in groups.items()
        for design in [_designs(there)]
        for metric in metrics
    ]


def shares(there: Sequence[Side], metrics: Sequence[str]) -> Heatmap:
    """Of settings alone in all those metrics that vary over the experiments."""
    design = _designs(there)
    of_metric: dict[str, dict[str, float | None]] = {}
    for metric in metrics:
        values = [_values(side, metric) for side in there]
        counts = tuple(map(len, values))
        if any(counts) and design(counts).levels:
            found = partition(design(counts), [*filter(None, values)], pairs=False)
            if found is not None:
                names = design(counts).together
                of_metric[metric] = {
                    "+".join([one.term[0], *names[one.term[0]]]): one.share
                    for one in found.sources
                }
    settings = list(dict.fromkeys(name for one in of_metric.values() for name in one))
    return Heatmap(
        settings=settings,
        metrics=list(of_metric),
        shares=[[one.get(name) for one in of_metric.values()] for name in settings],
    )


def lines(found: Sequence[Sensitivity], width: int) -> list[str]:
    """A table of shares and one of effects for each metric, and what to know."""
    return [line for one in found for line in _told(one, width)] + [
        *guesses((side, one.metric) for one in found for side in one.sides)
    ]


def _whole(
    metric: str,
    group: str | None,
    there: Sequence[Side],
    design_of: Callable[[tuple[int, ...]], Design],
    *,
    logs: bool,
) -> Sensitivity:
    values = [_values(side, metric) for side in there]
    sides = list(compress(there, values))
    scale = "log" if logs else "linear"

    def none(reason: str) -> Sensitivity:
        return Sensitivity(
            metric=metric, group=group, sides=sides, scale=scale, reason=reason
        )

    if not sides:
        return none("no experiment has it")
    if logs and min(map(min, filter(None, values))) <= 0:
        return none("values of 0 or below have no logarithm")
    kept = [[log(v) if logs else v for v in one] for one in values if one]
    design = design_of(tuple(map(len, values)))
    if not design.levels:
        return none("all settings are the same")
    found = partition(design, kept)
    if found is None:
        return none("all values are equal")
    told = [one.term for one in found.sources if one.share is not None]
    return Sensitivity(
        metric=metric,
        group=group,
        sides=sides,
        scale=scale,
        together=design.together,
        balanced=design.balanced,
        partition=found,
        effects=[one for term in told for one in effects(design, term, kept)],
    )


def _designs(there: Sequence[Side]) -> Callable[[tuple[int, ...]], Design]:
    """The design of those experiments that have values, by how many each has."""
    told = columns(there)

    @cache
    def design(counts: tuple[int, ...]) -> Design:
        left = {name: list(compress(one, counts)) for name, one in told.items()}
        return Design(left, [one for one in counts if one])

    return design


def _values(side: Side, metric: str) -> list[float]:
    told = [cycle.metrics.get(metric) for cycle in side.cycles]
    return [one for one in told if one is not None]


def _told(one: Sensitivity, width: int) -> Iterator[str]:
    among = f" of {visible(one.group)}" if one.group else ""
    head = f"{one.metric}{among}, {METRICS[one.metric].unit}"
    if one.partition is None:
        yield f"{head}: {one.reason}"
        return
    cycles = one.partition.values
    yield f"{head}: {len(one.sides)} experiments, {cycles} cycles"
    yield from table([*_share_rows(one)], width, name="setting")
    if one.effects:
        yield from table([*_effect_rows(one)], width, name="setting")
    yield from _doubts(one)


def _share_rows(one: Sensitivity) -> Iterator[dict[str, str]]:
    assert one.partition is not None
    adjusted = one.p_of_all
    for source in sorted(one.sources, key=lambda it: -(it.share or 0.0)):
        chance = adjusted.get(source.term)
        yield {
            "setting": visible(one.named(source.term)),
            "share of variance": _percent(source.share),
            "p (Holm)": probability(chance),
            "why not": source.reason or NONE,
        }
    rest = {"noise between cycles": one.partition.noise}
    for name, share in {**rest, "not explained": one.partition.rest}.items():
        yield {
            "setting": name,
            "share of variance": _percent(share),
            "p (Holm)": NONE,
            "why not": NONE,
        }


def _effect_rows(one: Sensitivity) -> Iterator[dict[str, str]]:
    alone = [it for it in one.effects if len(it.term) == 1]
    pairs = [it for it in one.effects if len(it.term) == 2]
    pairs.sort(key=lambda it: -abs(it.value))
    sign = "~" if one.guess else ""
    for it in [*alone, *pairs[:_PAIRS_SHOWN]]:
        interval = NONE
        if it.low is not None and it.high is not None:
            interval = f"{figure(it.low)} to {figure(it.high)}"
        yield {
            "setting": visible(one.named(it.term)),
            "from": visible(" x ".join(it.first)),
            "to": visible(" x ".join(it.levels)),
            f"changes by, {one.unit}": f"{sign}{figure(it.value)}",
            "95 % interval": interval,
        }


def _doubts(one: Sensitivity) -> Iterator[str]:
    """What the tables alone do not tell, a line for each."""
    if not one.balanced:
        yield (
            "the grid has holes: a share is what a setting adds to the others (type "
            "II), and shares need not add up to 100 %"
        )
    if one.partition and one.partition.noise is None:
        yield "one cycle of each: nobody knows the noise, nor how sure effects are"
    pairs = sum(len(it.term) == 2 for it in one.effects)
    if pairs > _PAIRS_SHOWN:
        yield f"{pairs - _PAIRS_SHOWN} smaller effects of pairs are in --json and --csv"
    orders = {side.session.order for side in one.sides}.difference(_RANDOM)
    if orders:
        yield (
            f"run in the order {', '.join(sorted(orders))}: what drifts within a "
            "session may look like an effect (--lem-order=shuffled draws it)"
        )


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{share:.1%}".replace("%", " %")
