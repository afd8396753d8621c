"""Noise of this machine for a reference that has too few sessions to tell its own."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pytest_lem.analysis.gating import Noise, noise
from pytest_lem.gate.belief import doubts
from pytest_lem.gate.side import Side, differences, keys, same, unequal


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What `lem aa` found of one metric of an experiment, sessions in which all is one.

    `keys` are those of `gate.side`, and the machine, as plain JSON. `at` is when the
    last session began.
    """

    experiment: str
    identity: str
    metric: str
    at: str
    sessions: int
    std: float
    keys: Mapping[str, Any]

    @property
    def noise(self) -> Noise:
        """What it lends."""
        return Noise(std=self.std, degrees=self.sessions - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """Noise for a run, in words whose; or why what is stored is not used."""

    noise: Noise | None = None
    source: str | None = None
    refusals: Sequence[str] = ()


def lend(
    run: Side,
    metric: str,
    quiet: Sequence[Side],
    stored: Sequence[Stored],
    allowed: Collection[str],
) -> Lent:
    """Of quiet sessions that were given by hand, else what is stored, the latest."""
    sessions = [
        one.values(metric)
        for one in quiet
        if same(one, run)
        and not differences(one, run, metric, allowed)
        and not list(doubts(one, metric))
    ]
    if found := noise(sessions):
        return Lent(noise=found, source=f"noise of {len(sessions)} sessions given")
    meant = [one for one in stored if one.metric == metric and _of(one, run)]
    mine = stored_keys(run, metric) if meant else {}
    refusals = []
    for one in sorted(meant, key=lambda it: it.at, reverse=True):
        apart = unequal(one.keys, mine, allowed)
        if not apart:
            return Lent(noise=one.noise, source=f"{_words(one)}, {_age(one, run)}")
        refusals.append(f"{_words(one)} is not used: {', '.join(apart)}")
    return Lent(refusals=refusals[:1])


def stored_keys(side: Side, metric: str) -> dict[str, Any]:
    """What must be equal for noise to be lent, as it is read back from JSON."""
    found = {**keys(side, metric), "machine": machine(side.environment)}
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain


def machine(environment: Mapping[str, Any]) -> list[str]:
    """The UUIDs of its GPUs; without any its processors, by model and number."""
    uuids = [str(one.get("uuid")) for one in environment.get("gpu") or ()]
    cpu = environment.get("cpu") or {}
    return uuids or [f"{cpu.get('model')} x {cpu.get('cores_logical')}"]


def stored_of(sides: Sequence[Side], metric: str) -> Stored | None:
    """The noise of sessions that measured the same; None where it cannot be told."""
    found = noise([one.values(metric) for one in sides])
    if found is None:
        return None
    last = max(sides, key=lambda one: datetime.fromisoformat(one.session.started_at))
    return Stored(
        experiment=last.experiment.id,
        identity=last.experiment.identity,
        metric=metric,
        at=last.session.started_at,
        sessions=len(sides),
        std=found.std,
        keys=stored_keys(last, metric),
    )


def replaced(old: Sequence[Stored], new: Sequence[Stored]) -> list[Stored]:
    """All of both, of one metric of an experiment on one machine the last alone.

    Cold starts and warm runs, which have one identity, stay beside each other.
    """

    def what(one: Stored) -> tuple[str, ...]:
        named = (one.experiment, one.identity, one.metric)
        cold = str(one.keys.get("cold_start", False))
        return *named, cold, *one.keys.get("machine", ())

    return [*{what(one): one for one in [*old, *new]}.values()]


def _of(one: Stored, run: Side) -> bool:
    mine = run.experiment
    return mine.identity == one.identity or mine.id == one.experiment


def _words(one: Stored) -> str:
    return f"noise of {one.sessions} sessions stored {one.at[:10]}"


def _age(one: Stored, run: Side) -> str:
    then, now = map(datetime.fromisoformat, (one.at, run.session.started_at))
    hours = (now - then).total_seconds() / 3600
    far = abs(hours)
    told = f"{far / 24:.1f} days" if far >= 24 else f"{far:.1f} hours"
    return f"{told} {'before' if hours >= 0 else 'after'} the run"
