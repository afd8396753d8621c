"""A metric of experiments over their sessions, and how far a gate let it go."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_lem.report.html.view import Bound, Measured, Number, bounds
from pytest_lem.report.html.words import short
from pytest_lem.report.services.figures import guess
from pytest_lem.store.store import Store
from pytest_lem.store.wanted import Found, Value, Wanted

MOST_SESSIONS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A session's value with its interval; `bounds` are those that it was judged by.

    `guess` says what the value is where nothing measured it.
    """

    key: str
    experiment_id: str
    identity: str
    session: str
    labels: Sequence[str]
    started_at: str
    value: float
    ci_low: float | None
    ci_high: float | None
    n: int
    guess: str | None
    verdict: str | None
    bounds: Sequence[Bound]

    def measured(self, metric: str) -> Measured:
        """The same as charts take it."""
        number = Number(
            value=self.value,
            low=self.ci_low,
            high=self.ci_high,
            samples=(),
            kind=self.guess or "measured",
        )
        return Measured(
            name=short(self.experiment_id.partition("::")[2] or self.experiment_id),
            experiment_id=self.experiment_id,
            identity=self.identity,
            session=self.session,
            label=" ".join(self.labels) or None,
            started_at=self.started_at,
            numbers={metric: number},
            bounds=tuple(self.bounds),
            verdict=self.verdict,
        )


def trends(store: Store, identities: Sequence[str], metric: str) -> list[Point]:
    """The newest thousand sessions of each experiment, the oldest of them first."""
    found = [point for one in identities for point in _trend(store, one, metric)]
    return sorted(found, key=lambda one: (one.experiment_id, one.started_at))


def _trend(store: Store, identity: str, metric: str) -> Iterator[Point]:
    wanted = Wanted(identity=identity, limit=MOST_SESSIONS)
    found = [one for one in store.find(wanted, [metric]) if metric in one.metrics]
    judged = store.gates([one.key for one in found if one.verdict])
    for one in found:
        lines = [b for b in bounds(judged.get(one.key) or {}) if b.metric == metric]
        yield _point(one, one.metrics[metric], guess(one.flags, metric), lines)


def _point(
    one: Found, value: Value, guessed: str | None, lines: Sequence[Bound]
) -> Point:
    return Point(
        key=one.key,
        experiment_id=one.experiment_id,
        identity=one.identity,
        session=one.session,
        labels=one.labels,
        started_at=one.started_at,
        value=value.value,
        ci_low=value.ci_low,
        ci_high=value.ci_high,
        n=value.n,
        guess=guessed,
        verdict=one.verdict,
        bounds=lines,
    )
