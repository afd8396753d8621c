"""The Pareto front of experiments: which of them no other beats in chosen metrics."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, get_args

from pytest_lem.analysis.gating import Direction
from pytest_lem.analysis.metrics import HEADLINES, METRICS, QUALITIES
from pytest_lem.analysis.pareto import Standing, standings
from pytest_lem.analysis.stats import FEW_FOR_BOOTSTRAP, STANDARD
from pytest_lem.errors import ConfigError
from pytest_lem.gate.side import Side
from pytest_lem.records.record import Cycle, Record
from pytest_lem.report.factors import all_sides, grouped, unmeasured
from pytest_lem.report.services.figures import guess
from pytest_lem.report.table import NONE, cell, number, table, visible
from pytest_lem.spec.nearest import unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A metric or a score of users, its unit, and which way of it is better."""

    name: str
    unit: str
    better: Direction

    @classmethod
    def parse(cls, text: str, records: Iterable[Record] = ()) -> Self:
        """`NAME`, or `NAME:lower` and `:higher`; raises ConfigError.

        A name is a metric's, or that of a score which an experiment of the records has.
        """
        name, colon, way = text.strip().partition(":")
        scores = {
            key: score
            for record in records
            for one in record.experiments
            for key, score in one.quality.scores.items()
        }
        if name not in METRICS and name not in scores:
            raise ConfigError(unknown("metric", name, [*METRICS, *scores]))
        if colon and way not in get_args(Direction):
            raise ConfigError(unknown("direction", way, get_args(Direction)))
        better = next((one for one in get_args(Direction) if one == way), None)
        known = METRICS[name] if name in METRICS else scores[name]
        better = better or known.better
        if better is None:
            raise ConfigError(
                f"{name} is neither better high nor low: say {name}:lower or :higher"
            )
        unit = METRICS[name].unit if name in METRICS else ""
        return cls(name=name, unit=unit, better=better)

    def value(self, side: Side, cycle: Cycle) -> float | None:
        """Of a cycle; a score is the same in all of its experiment's."""
        if self.name in METRICS:
            return cycle.metrics.get(self.name)
        score = side.experiment.quality.scores.get(self.name)
        return score.value if score else None

    def guess(self, side: Side) -> str | None:
        """What its value is where nothing measured it."""
        if self.name in METRICS:
            return guess(side.experiment.flags, self.name)
        return None


HEADLINE_AXES = tuple(map(Axis.parse, HEADLINES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An experiment among others: how it stands, and which of them beats it.

    `values` are means over the complete cycles that have all metrics, None without any.
    """

    side: Side
    group: str | None
    axes: Sequence[Axis]
    values: Sequence[float | None]
    standing: Standing
    beaten_by: Side | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        names = [axis.name for axis in self.axes]
        guesses = {axis.name: axis.guess(self.side) for axis in self.axes}
        return {
            "experiment": self.side.experiment.id,
            "identity": self.side.experiment.identity,
            "session": self.side.session.id,
            "group": self.group,
            **dict(zip(names, self.values, strict=True)),
            "guesses": {name: word for name, word in guesses.items() if word},
            "on_front": self.standing.on_front,
            "front_share": self.standing.share,
            "beaten_by": self.beaten_by and self.beaten_by.experiment.id,
        }


def pareto(
    records: Iterable[Record],
    axes: Sequence[Axis] = HEADLINE_AXES,
    by: str | None = None,
    *,
    resamples: int = STANDARD.resamples,
) -> list[Candidate]:
    """How all experiments stand, a front for each value of the key.

    Raises ConfigError for fewer than two metrics, and for a key that none has.
    """
    if len(axes) < 2:
        raise ConfigError(
            "a front is of two metrics or more: energy against speed, say"
        )
    groups = grouped(all_sides(records), by)
    return [
        one
        for group, there in groups.items()
        for one in _standing(there, group, axes, resamples)
    ]


def lines(found: Sequence[Candidate], width: int) -> list[str]:
    """The table, the front first, and what is to be known of it."""
    order = sorted(found, key=_place)
    sessions = len({one.side.session.id for one in found})
    rows = [_row(one, sessions=sessions) for one in order]
    return [_caption(found[0].axes), *table(rows, width), *_doubts(found)]


def _standing(
    there: Sequence[Side], group: str | None, axes: Sequence[Axis], resamples: int
) -> Iterator[Candidate]:
    points = [list(_cycles(side, axes)) for side in there]
    ways = [axis.better for axis in axes]
    found = standings(points, ways, resamples=resamples)
    for side, cycles, standing in zip(there, points, found, strict=True):
        columns = list(zip(*cycles, strict=True)) or [()] * len(axes)
        by = standing.beaten_by
        yield Candidate(
            side=side,
            group=group,
            axes=axes,
            values=[sum(one) / len(one) if one else None for one in columns],
            standing=standing,
            beaten_by=None if by is None else there[by],
        )


def _cycles(side: Side, axes: Sequence[Axis]) -> Iterator[list[float]]:
    """The values of each cycle that has all of them."""
    for cycle in side.cycles:
        told = [axis.value(side, cycle) for axis in axes]
        values = [one for one in told if one is not None]
        if len(values) == len(axes):
            yield values


def _place(one: Candidate) -> tuple[Any, ...]:
    first, axis = one.values[0], one.axes[0]
    worth = 0.0 if first is None else first * (1 if axis.better == "lower" else -1)
    rank = {True: 0, False: 1, None: 2}[one.standing.on_front]
    return one.group or "", rank, worth


def _caption(axes: Sequence[Axis]) -> str:
    told = [f"{axis.name} ({axis.better} is better)" for axis in axes]
    return (
        f"Pareto front of {' and '.join(told)}: nobody beats those on it. Means, "
        "± half of the 95 % interval; resamples: the share of draws of all cycles in "
        "which it is on the front."
    )


def _row(one: Candidate, *, sessions: int) -> dict[str, str]:
    experiment, session, standing = one.side.experiment, one.side.session, one.standing
    cells = {}
    for axis, value in zip(one.axes, one.values, strict=True):
        sign = "~" if axis.guess(one.side) else ""
        summary = experiment.summary.get(axis.name)
        told = cell(summary, sign) if summary else number(value)
        cells[f"{axis.name} {axis.unit}".rstrip()] = told
    beaten = one.beaten_by and (one.beaten_by.experiment.id.partition("::")[2])
    return {
        "experiment": visible(experiment.id.partition("::")[2] or experiment.id),
        "group": visible(one.group or NONE),
        "session": visible(session.label or session.id) if sessions > 1 else NONE,
        **cells,
        "front": {True: "yes", False: "no", None: NONE}[standing.on_front],
        "resamples": NONE if standing.share is None else f"{standing.share:.0%}",
        "beaten by": visible(beaten or NONE),
    }


def _doubts(found: Sequence[Candidate]) -> Iterator[str]:
    """What the table alone does not tell, a line for each."""
    missing = sum(one.standing.on_front is None for one in found)
    if missing:
        yield f"{missing} of {len(found)} have not all metrics: they are no part of it"
    alone = [one for one in found if one.standing.on_front is not None]
    counts = [len(list(_cycles(one.side, one.axes))) for one in alone]
    if 1 in counts:
        yield (
            f"{counts.count(1)} of {len(found)} have one cycle: nobody knows their "
            "spread, and the others' resamples take them as exact"
        )
    if counts and max(counts) > 1 and min(counts) < FEW_FOR_BOOTSTRAP:
        yield f"fewer than {FEW_FOR_BOOTSTRAP} cycles: resamples look too sure"
    words = {axis.guess(one.side) for one in found for axis in one.axes}
    yield from unmeasured(sorted(word for word in words if word))
    random = sum(one.side.experiment.synthetic_weights for one in found)
    if random and any(axis.name in QUALITIES for axis in found[0].axes):
        yield f"{random} of {len(found)} have random weights: no quality means anything"
