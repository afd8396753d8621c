"""Sessions in which nothing changed: their noise, and what the gate says of them."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_lem.analysis.alarms import at_most, by_law
from pytest_lem.analysis.gating import LEAST_SESSIONS, Noise, visible
from pytest_lem.analysis.metrics import METRICS
from pytest_lem.analysis.noise import Levels, autocorrelated, drifts
from pytest_lem.gate.belief import doubts
from pytest_lem.gate.lending import Stored, stored_of
from pytest_lem.gate.limit import Limit
from pytest_lem.gate.side import Side, differences, sides
from pytest_lem.gate.verdict import Finding, gate, spread
from pytest_lem.records.record import Record

# Of splits in turn, which grow with every second session by the factor 2.
MOST_SPLITS = 64

_Cases = Iterator[tuple[Sequence[Record], Sequence[Record]]]


@dataclass(slots=True)
class Tally:
    """How often something was judged, and how often called a regression."""

    judged: int = 0
    alarms: int = 0

    def add(self, found: Sequence[Finding]) -> None:
        """One more, of one question or of a suite; nothing where all is unknown."""
        told = [one for one in found if one.shift is not None]
        self.judged += bool(told)
        self.alarms += any(one.verdict == "regression" for one in told)

    def to_json(self) -> dict[str, Any]:
        """With the rate and its bound, as of independent cases."""
        rate = self.alarms / self.judged if self.judged else None
        return {
            **asdict(self),
            "rate": rate,
            "at_most_95": at_most(self.alarms, self.judged) if self.judged else None,
        }


@dataclass(slots=True, kw_only=True)
class Quiet:
    """One metric of one experiment over sessions in which nothing changed.

    `held_out` counts each session against all others, by prediction interval;
    `in_turn` halves of all sessions against each other, split as `lem ab` runs them.
    `by_law` is the rate of the first that follows from `std` if noise is normal.
    `visible` is the change that one session against all others cannot be told by.
    """

    experiment: str
    limit: Limit
    sessions: int
    std: float | None = None
    spread: Levels | None = None
    visible: float | None = None
    by_law: float | None = None
    drifts: bool = False
    follows: bool = False
    reasons: Sequence[str] = ()
    held_out: Tally = field(default_factory=Tally)
    in_turn: Tally = field(default_factory=Tally)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "experiment_id": self.experiment,
            "metric": self.limit.metric,
            "limit_pct": round(100 * self.limit.share, 9),
            "sessions": self.sessions,
            "std_of_logs": self.std,
            "spread": asdict(self.spread) if self.spread else None,
            "visible": self.visible,
            "held_out": self.held_out.to_json(),
            "in_turn": {**asdict(self.in_turn), "at_most_95": None},
            "by_normal_law": self.by_law,
            "drifts": self.drifts,
            "autocorrelated": self.follows,
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """All of them, how often any was a regression, and what may be stored."""

    found: Sequence[Quiet]
    held_out: Tally
    in_turn: Tally
    stored: Sequence[Stored]

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the noise of all metrics."""
        return {
            "experiments": [one.to_json() for one in self.found],
            "suite": {
                "held_out": self.held_out.to_json(),
                "in_turn": {**asdict(self.in_turn), "at_most_95": None},
            },
            "noise": [asdict(one) for one in self.stored],
        }


def quiet(
    records: Sequence[Record], limits: Sequence[Limit], allowed: Collection[str] = ()
) -> Suite:
    """What sessions of an unchanged suite, in their order, tell of the gate."""
    named: dict[str, list[Side]] = {}
    for side in (one for record in records for one in sides(record)):
        named.setdefault(side.experiment.id, []).append(side)
    found = {
        (name, limit): _noise(name, mine, limit, len(records))
        for name, mine in named.items()
        for limit in limits
    }
    suite = Suite(
        found=[*found.values()],
        held_out=Tally(),
        in_turn=Tally(),
        stored=[*_stored(named)],
    )

    def count(cases: _Cases, tally: Callable[[Suite | Quiet], Tally]) -> None:
        for run, rest in cases:
            told = gate(run, rest, limits, allowed=allowed)
            tally(suite).add(told)
            for one in told:
                tally(found[one.experiment, one.limit]).add([one])

    count(_held_out(records), lambda one: one.held_out)
    count(_splits(records), lambda one: one.in_turn)
    return suite


def _noise(name: str, mine: Sequence[Side], limit: Limit, sessions: int) -> Quiet:
    metric = limit.metric
    told = Quiet(experiment=name, limit=limit, sessions=len(mine))
    used = _alike(mine, metric)
    reasons = [reason for one in mine for reason in doubts(one, metric)]
    reasons += [r for one in mine for r in differences(one, mine[-1], metric)]
    if len(mine) < sessions:
        reasons.append(f"only {len(mine)} of {sessions} sessions have it")
    told.reasons = list(dict.fromkeys(reasons))
    stored = stored_of(used, metric)
    if stored is None:
        return told
    told.sessions, told.std = len(used), stored.std
    told.spread = spread(used, metric)
    values = [sum(each) / len(each) for each in (one.values(metric) for one in used)]
    told.drifts, told.follows = drifts(values), autocorrelated(values)
    others = len(used) - 1
    if others >= LEAST_SESSIONS:
        lent = Noise(std=stored.std, degrees=others - 1)
        told.visible = visible(lent, others, 1)
        told.by_law = by_law(stored.std, others, limit.share, limit.better)
    return told


def _alike(mine: Sequence[Side], metric: str) -> list[Side]:
    """Those that may be believed, and are as the last of them."""
    good = [one for one in mine if not list(doubts(one, metric))]
    return [one for one in good if not differences(one, good[-1], metric)]


def _stored(named: dict[str, list[Side]]) -> Iterator[Stored]:
    """The noise of each metric that a gate can have a limit for."""
    for mine in named.values():
        for metric, info in METRICS.items():
            if info.better and (one := stored_of(_alike(mine, metric), metric)):
                yield one


def _held_out(records: Sequence[Record]) -> _Cases:
    for k, one in enumerate(records):
        yield [one], [*records[:k], *records[k + 1 :]]


def _splits(records: Sequence[Record]) -> _Cases:
    """Halves whose sessions are in turn: of each two in a row one is in either."""
    pairs = len(records) // 2
    if pairs < LEAST_SESSIONS:
        return
    count = 2**pairs
    stride = int(0.618 * count) | 1  # odd: it meets all splits, far from each other
    for k in range(min(count, MOST_SPLITS)):
        sides = [k * stride >> pair & 1 for pair in range(pairs)]
        run = [records[2 * pair + side] for pair, side in enumerate(sides)]
        rest = [records[2 * pair + 1 - side] for pair, side in enumerate(sides)]
        yield run, rest
