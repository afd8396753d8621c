"""(runs, reference) -> verdicts, over all experiments and limits together."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from pytest_lem.analysis.gating import (
    LEAST_SESSIONS,
    Answer,
    Question,
    Shift,
    Verdict,
    alternating,
    judge,
    shift,
)
from pytest_lem.analysis.noise import Levels, levels
from pytest_lem.gate.apart import Apart, apart
from pytest_lem.gate.belief import doubts
from pytest_lem.gate.lending import Lent, Stored, lend
from pytest_lem.gate.limit import REFERENCE, Limit
from pytest_lem.gate.side import Side, differences, same, sides
from pytest_lem.records.record import Record
from pytest_lem.records.spread import window_values

Asked = Literal["auto", "prediction", "interleaved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The verdict on one metric of one experiment.

    `spread` is that of the reference's logarithms, so as shares. `reasons` say why
    nothing is known, or what keeps the sides apart. `left_out` has sessions of the
    reference that could not be used, and why; `changed` what else is not as it was in
    the latest that was. `noise` says whose was lent, where the reference had none.
    `apart` says that the sides are no two of one kind.
    """

    experiment: str
    limit: Limit
    verdict: Verdict
    shift: Shift | None = None
    answer: Answer | None = None
    values: tuple[float, ...] = ()
    reference: tuple[float, ...] = ()
    spread: Levels | None = None
    reasons: Sequence[str] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    changed: Sequence[Apart] = ()
    noise: str | None = None
    apart: bool = False

    @property
    def improved(self) -> bool:
        """Whether it is better beyond its limit and beyond noise."""
        return self.answer is not None and self.answer.improved

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "experiment_id": self.experiment,
            "metric": self.limit.metric,
            "limit_pct": round(100 * self.limit.share, 9),
            "verdict": self.verdict,
            "improved": self.improved,
            "p": self.answer.p if self.answer else None,
            "p_of_suite": self.answer.p_of_suite if self.answer else None,
            "shift": asdict(self.shift) if self.shift else None,
            "spread": asdict(self.spread) if self.spread else None,
            "values": list(self.values),
            "reference": list(self.reference),
            "reasons": list(self.reasons),
            "left_out": dict(self.left_out),
            "changed": [one.to_json() for one in self.changed],
            "noise": self.noise,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One metric of one experiment with what was found for it, before the verdict."""

    experiment: str
    limit: Limit
    runs: Sequence[Side]
    used: Sequence[Side] = ()
    reasons: Sequence[str] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    apart: bool = False


def gate(
    runs: Sequence[Record],
    reference: Sequence[Record],
    limits: Sequence[Limit] | Callable[[str], Sequence[Limit]],
    *,
    quiet: Sequence[Record] = (),
    stored: Sequence[Stored] = (),
    allowed: Collection[str] = (),
    among: int = 0,
    rule: Asked = "auto",
) -> list[Finding]:
    """A finding for each experiment of the runs and each limit, or those of its id.

    `quiet` are sessions of this machine in which nothing changed: where the reference
    has fewer than three, their noise counts, else what is `stored` of this machine.
    Keys that are `allowed` may differ. `among` is how many questions there will be,
    where these are not all. By the `rule` auto sessions run in turn are judged as such.
    """
    court = Gate(
        reference, limits, quiet=quiet, stored=stored, allowed=allowed, rule=rule
    )
    for name, mine in _by_name(runs).items():
        court.hear(name, mine)
    return court.verdicts(among)


class Gate:
    """As `gate`, of experiments that are told one at a time and judged together."""

    def __init__(
        self,
        reference: Sequence[Record],
        limits: Sequence[Limit] | Callable[[str], Sequence[Limit]],
        *,
        quiet: Sequence[Record] = (),
        stored: Sequence[Stored] = (),
        allowed: Collection[str] = (),
        rule: Asked = "auto",
    ) -> None:
        self._old = list(_each(reference))
        self._calm = list(_each(quiet))
        self._limits = limits
        self._stored = stored
        self._allowed = allowed
        self._rule = rule
        self._heard: list[tuple[Finding, Question]] = []

    def hear(self, name: str, runs: Sequence[Side]) -> None:
        """Take in what was measured of one experiment, of which nothing is kept."""
        limits, allowed = self._limits, self._allowed
        for limit in limits(name) if callable(limits) else limits:
            case = _case(name, limit, runs, self._old, allowed)
            lent = lend(runs[0], limit.metric, self._calm, self._stored, allowed)
            found = _shift(case, lent, rule=self._rule)
            asked = Question(shift=found, better=limit.better, limit=limit.share)
            self._heard.append((_finding(case, found, lent, self._rule), asked))

    def verdicts(self, among: int = 0) -> list[Finding]:
        """On all that was heard, of so many questions if these are not all."""
        answers = judge([asked for _, asked in self._heard], among)
        return [
            replace(
                found,
                verdict="incomparable" if found.apart else answer.verdict,
                answer=answer if found.shift else None,
            )
            for (found, _), answer in zip(self._heard, answers, strict=True)
        ]


def unmatched(runs: Sequence[Record], reference: Sequence[Record]) -> list[str]:
    """Experiments of the reference that no run has, by name or by identity."""
    new = list(_each(runs))
    gone = [one for one in _each(reference) if not any(same(one, it) for it in new)]
    return sorted({one.experiment.id for one in gone})


def _each(records: Iterable[Record]) -> Iterator[Side]:
    """Their experiments, those of one session once: a file given twice is no news."""
    seen = set()
    for record in records:
        for side in sides(record):
            if (key := (side.session.id, side.experiment.id)) not in seen:
                seen.add(key)
                yield side


def _by_name(records: Iterable[Record]) -> dict[str, list[Side]]:
    found: dict[str, list[Side]] = {}
    for side in _each(records):
        found.setdefault(side.experiment.id, []).append(side)
    return found


def _first_of_each(found: Iterable[Side]) -> list[Side]:
    """One of each session."""
    return list({one.session.id: one for one in reversed([*found])}.values())[::-1]


def _case(
    name: str,
    limit: Limit,
    runs: Sequence[Side],
    reference: Sequence[Side],
    allowed: Collection[str],
) -> _Case:
    metric = limit.metric
    meant = [one for one in reference if one.experiment.id == name]
    meant = meant or _first_of_each(one for one in reference if same(one, runs[0]))
    among = [d for run in runs[1:] for d in differences(runs[0], run, metric, allowed)]
    if among or not meant:
        reasons = among or ["no reference has it"]
        return _Case(
            experiment=name,
            limit=limit,
            runs=runs,
            reasons=reasons,
            apart=bool(among) or REFERENCE not in allowed,
        )
    apart = {
        one.session.id: differences(one, runs[0], metric, allowed) for one in meant
    }
    doubted = {one.session.id: list(doubts(one, metric)) for one in meant}
    doubted |= {one.session.id: ["it is the run itself"] for one in runs}
    why = {key: ", ".join(apart[key] or doubted[key]) for key in apart}
    used = [one for one in meant if not why[one.session.id]]
    reasons = [reason for run in runs for reason in doubts(run, metric)]
    if all(apart.values()):
        reasons = apart[meant[-1].session.id]
    elif not reasons:
        reasons = list(_too_few_cycles(runs, used))
    return _Case(
        experiment=name,
        limit=limit,
        runs=runs,
        used=used,
        reasons=list(dict.fromkeys(reasons)),
        left_out={key: reason for key, reason in why.items() if reason},
        apart=all(apart.values()),
    )


def _too_few_cycles(runs: Sequence[Side], used: Sequence[Side]) -> Iterator[str]:
    """A run of fewer cycles varies more than the sessions it is held against."""
    least = min((len(one.cycles) for one in used), default=0)
    mine = min(len(one.cycles) for one in runs)
    if mine < least:
        yield f"{mine} cycles, and {least} in the reference: run as many"


def _shift(case: _Case, lent: Lent, rule: Asked) -> Shift | None:
    if case.reasons or not case.used:
        return None
    metric = case.limit.metric
    old, new = ([one.values(metric) for one in each] for each in (case.used, case.runs))
    starts = [[_at(one) for one in each] for each in (case.used, case.runs)]
    in_turn = rule != "prediction" and alternating(*starts)
    if rule == "interleaved" and not in_turn:
        return None
    return shift(old, new, alternating=in_turn, known=lent.noise)


def _at(side: Side) -> float:
    return datetime.fromisoformat(side.session.started_at).timestamp()


def _finding(case: _Case, found: Shift | None, lent: Lent, rule: Asked) -> Finding:
    """What is known of a case before its suite is."""
    metric = case.limit.metric
    reasons = list(case.reasons)
    if not reasons and found is None:
        sessions = f"{len(case.used)} session{'s' if len(case.used) != 1 else ''}"
        reasons = [f"{sessions} in the reference, {LEAST_SESSIONS} are needed"]
        reasons += lent.refusals
        if rule == "interleaved":
            reasons = ["sessions of both were not run in turn, as lem ab does"]
    return Finding(
        experiment=case.experiment,
        limit=case.limit,
        verdict="inconclusive",
        apart=case.apart,
        shift=found,
        values=tuple(v for one in case.runs for v in one.values(metric)),
        reference=tuple(v for one in case.used for v in one.values(metric)),
        spread=spread(case.used, metric) if case.used else None,
        reasons=reasons,
        left_out=case.left_out,
        changed=apart(max(case.used, key=_at), case.runs[0]) if case.used else (),
        noise=lent.source if found and found.rule == "stored_noise" else None,
    )


def spread(used: Sequence[Side], metric: str) -> Levels:
    """Of windows, cycles and sessions; a metric without windows has one for a cycle."""
    told = [
        [
            window_values(cycle, metric) or [cycle.metrics.get(metric) or math.nan]
            for cycle in side.cycles
        ]
        for side in used
    ]
    return levels([[[math.log(v) for v in c] for c in session] for session in told])
