"""Records as a page sees them: experiments with their numbers, and what to know."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from math import exp, fsum, log
from pathlib import Path
from typing import Any, Literal

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.gate.side import Side, sides
from pytest_lem.records.joining import traces_of_experiment
from pytest_lem.records.record import Record
from pytest_lem.report.factors import factors, level
from pytest_lem.report.html.words import in_order, short
from pytest_lem.report.services.figures import guess
from pytest_lem.report.table import short_names

Kind = str
"""What a number rests on: `measured`, or what it was instead."""

_ANCHOR = re.compile(r"[0-9A-Za-z_-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A report, and the folder that the paths in it begin at, where that is known."""

    record: Record
    folder: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A metric over the cycles of an experiment, in its unit.

    `samples` are the values of its cycles. `kind` says what the value rests on: a
    model's estimate and a fake meter's number look otherwise than what was measured.
    """

    value: float
    low: float | None
    high: float | None
    samples: tuple[float, ...]
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Where the gate drew the line: a limit of what a reference had, or a budget."""

    metric: str
    value: float
    word: Literal["limit", "budget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Numbers of one experiment of one session, and the lines that its gate drew."""

    name: str
    experiment_id: str
    identity: str
    session: str
    label: str | None
    started_at: str
    numbers: Mapping[str, Number]
    bounds: tuple[Bound, ...]
    verdict: str | None

    def has(self, metric: str) -> bool:
        """Whether there is a number."""
        return metric in self.numbers

    def kind(self, metric: str) -> Kind:
        """What its number rests on; there has to be one."""
        return self.numbers[metric].kind

    def bound(self, metric: str, word: str) -> float | None:
        """The limit or the budget of a metric, where there is one."""
        told = (one for one in self.bounds if (one.metric, one.word) == (metric, word))
        return next((one.value for one in told), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown(Measured):
    """One experiment of one session.

    `anchor` is what links to it end with. `parameters` are those that were asked for,
    by the names that users write. `nulls` say why a metric has no number. `traces`
    names the files of its meters' readings, relative to `folder`.
    """

    anchor: str
    backend: str
    engine: str
    model: str
    precision: str
    gpu: str
    gpus: int
    parameters: Mapping[str, Any]
    cycles: int
    failed: int
    nulls: Mapping[str, str]
    flags: tuple[str, ...]
    synthetic_weights: bool
    side: Side
    folder: Path | None
    traces: Mapping[str, Any] | None


def experiments(sources: Sequence[Source]) -> list[Shown]:
    """All experiments of the reports, by the time at which their sessions began.

    One that is in several reports is shown once.
    """
    ordered = sorted(sources, key=lambda one: _began(one.record.session.started_at))
    told: dict[tuple[str, str, str], tuple[Side, str, Source]] = {}
    for source in ordered:
        names = short_names(one.id for one in source.record.experiments)
        for side in sides(source.record):
            session = side.session
            key = (session.id, session.started_at, side.experiment.id)
            told[key] = (side, names[side.experiment.id], source)
    anchors = _anchors([side.experiment.identity for side, _, _ in told.values()])
    return [
        _shown(side, name, source, anchor)
        for (side, name, source), anchor in zip(told.values(), anchors, strict=True)
    ]


def latest(shown: Iterable[Shown]) -> list[Shown]:
    """Of each experiment the newest; they come as they began."""
    newest = {(one.identity, one.experiment_id): one for one in shown}
    return list(newest.values())


def names(shown: Sequence[Shown]) -> list[str]:
    """What each is called among others: with its session where that is needed."""
    counts = Counter(one.name for one in shown)
    return [
        one.name
        if counts[one.name] == 1
        else f"{one.name}, {short(one.label or _day(one.started_at), 24)}"
        for one in shown
    ]


def alike(
    shown: Sequence[Shown], apart: Iterable[str]
) -> dict[tuple[str, ...], list[Shown]]:
    """Those that were asked for the same but for some parameters, together.

    Groups are in the order of what was asked for, numbers by what they are.
    """
    left_out = set(apart)
    found: dict[tuple[str, ...], list[Shown]] = {}
    for one in shown:
        key = tuple(
            f"{name}={level(value)}"
            for name, value in sorted(one.parameters.items())
            if name not in left_out and value is not None
        )
        found.setdefault(key, []).append(one)
    return dict(sorted(found.items(), key=_in_order))


def _in_order(group: tuple[tuple[str, ...], Any]) -> list[tuple[str, float, str]]:
    parts = (part.partition("=") for part in group[0])
    return [(name, *in_order(value)) for name, _, value in parts]


def told_apart(groups: Mapping[tuple[str, ...], Sequence[Shown]]) -> dict[Any, str]:
    """Each group of those alike by what others have otherwise; one alone by names."""
    common = set.intersection(*map(set, groups)) if groups else set()
    found = {}
    for told, some in groups.items():
        own = [part for part in told if part not in common]
        tests = dict.fromkeys(one.name.partition("[")[0] for one in some)
        found[told] = short(", ".join(own or tests), 48)
    return found


def _day(moment: str) -> str:
    """Day and minute of a time, as it was told."""
    return moment[5:16].replace("T", " ")


def _began(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _anchors(identities: Sequence[str]) -> list[str]:
    """The identity; where several have it, with their number behind."""
    counts, seen = Counter(identities), Counter[str]()
    found = []
    for one in identities:
        safe = one if _ANCHOR.fullmatch(one) else sha256(one.encode()).hexdigest()[:16]
        seen[one] += 1
        found.append(f"{safe}-{seen[one]}" if counts[one] > 1 else safe)
    return found


def _shown(side: Side, name: str, source: Source, anchor: str) -> Shown:
    one = side.experiment
    last = one.cycles[-1] if one.cycles else None
    model = one.spec.get("model") or {}
    gpus = side.environment.get("gpu") or []
    worker = last.worker if last else {}
    engine = last.engine if last else {}
    lost = [c for c in one.cycles if c.status in ("failed", "interrupted")]
    return Shown(
        anchor=anchor,
        name=short(name),
        experiment_id=one.id,
        identity=one.identity,
        session=side.session.id,
        label=side.session.label,
        started_at=side.session.started_at,
        backend=side.backend,
        engine=f"{engine.get('name') or side.backend} {engine.get('version') or ''}",
        model=str(model.get("name")),
        precision=str(model.get("precision") or model.get("dtype") or ""),
        gpu=str(gpus[0].get("name") or "") if gpus else "",
        gpus=len(worker.get("devices") or ()),
        parameters=factors(side),
        cycles=len(side.cycles),
        failed=len(lost),
        numbers=_numbers(side),
        nulls=one.nulls,
        flags=tuple(one.flags),
        verdict=(one.gate or {}).get("verdict"),
        bounds=tuple(bounds(one.gate or {})),
        synthetic_weights=one.synthetic_weights,
        side=side,
        folder=source.folder,
        traces=traces_of_experiment(source.record, one.id),
    )


def _numbers(side: Side) -> dict[str, Number]:
    """In the order of the table of metrics."""
    found = {}
    summary = side.experiment.summary
    for name in METRICS:
        if name not in summary:
            continue
        told = [cycle.metrics.get(name) for cycle in side.cycles]
        found[name] = Number(
            value=summary[name].value,
            low=summary[name].ci_low,
            high=summary[name].ci_high,
            samples=tuple(value for value in told if value is not None),
            kind=guess(side.experiment.flags, name) or "measured",
        )
    return found


def bounds(gate: Mapping[str, Any]) -> Iterable[Bound]:
    """Where the rules of a record's gate drew their lines."""
    for rule in gate.get("rules") or ():
        metric = rule["metric"]
        if "budget" in rule:
            yield Bound(metric=metric, value=rule["amount"], word="budget")
        elif rule["reference"]:
            mean = exp(fsum(map(log, rule["reference"])) / len(rule["reference"]))
            share = rule["limit_pct"] / 100
            worse = 1 + share if METRICS[metric].better == "lower" else 1 - share
            yield Bound(metric=metric, value=mean * worse, word="limit")
