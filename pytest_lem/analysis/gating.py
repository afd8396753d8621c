"""Whether a run is worse than its reference: by sessions, and over a whole suite.

All of it is in logarithms, so that a change is a ratio. A session's value is the mean
of its cycles: sessions differ as days do, and cycles of one session share that.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_lem.analysis.compare import Difference, of_logs, welch

LEAST_SESSIONS = 3
TEST_LEVEL = 0.01
SUITE_LEVEL = 0.05

Direction = Literal["lower", "higher"]
Verdict = Literal["pass", "regression", "inconclusive", "incomparable"]
Rule = Literal["prediction_interval", "interleaved", "stored_noise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What sessions of this machine differ by where nothing changed.

    `std` is the standard deviation of their logarithms, with its degrees of freedom.
    """

    std: float
    degrees: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A run over its reference: the ratio, and how likely noise alone makes as much.

    `p_above` and `p_below` are one-sided. `low` and `high` are one-sided 99 % ends of
    the ratio. A change by less than the factor `visible` cannot be told from noise.
    """

    ratio: float
    low: float
    high: float
    visible: float
    p_above: float
    p_below: float
    rule: Rule
    sessions: tuple[int, int]


def noise(sessions: Sequence[Sequence[float]]) -> Noise | None:
    """Of sessions that measured the same, cycle by cycle; None below three."""
    if len(sessions) < LEAST_SESSIONS:
        return None
    _, square = of_logs(_values(sessions))
    assert square is not None
    degrees = len(sessions) - 1
    return Noise(std=math.sqrt(square * len(sessions)), degrees=degrees)


def visible(spread: Noise, reference: int, run: int) -> float:
    """The factor by which so many sessions must differ to be told from noise."""
    from scipy.special import stdtrit

    error = spread.std * math.sqrt(1 / reference + 1 / run)
    return math.exp(error * float(stdtrit(spread.degrees, 1 - TEST_LEVEL)))


def shift(
    reference: Sequence[Sequence[float]],
    run: Sequence[Sequence[float]],
    *,
    alternating: bool = False,
    known: Noise | None = None,
) -> Shift | None:
    """How far a run lies from its reference; None where there are too few sessions.

    Both have the cycles of each of their sessions, values above zero. Three sessions of
    the reference are needed, or noise that is `known`; or three of both that were
    `alternating`, whose own spread then counts.
    """
    old, new = _values(reference), _values(run)
    sizes = (len(old), len(new))
    rule: Rule = "prediction_interval"
    if alternating and min(sizes) >= LEAST_SESSIONS:
        rule, found = "interleaved", welch(old, new)
    elif known is not None and len(old) < LEAST_SESSIONS:
        rule, found = "stored_noise", _predicted(old, new, known)
    else:
        found = _predicted(old, new, noise(reference))
    return None if found is None else _told(found, rule, sizes)


def holm(probabilities: Sequence[float], among: int = 0) -> list[float]:
    """The probabilities, each made good for being one of so many (Holm 1979).

    Of `among` at the least, where others are not known yet.
    """
    adjusted, least = [0.0] * len(probabilities), 0.0
    count = max(among, len(probabilities))
    order = sorted(range(len(probabilities)), key=lambda k: probabilities[k])
    for place, k in enumerate(order):
        least = max(least, (count - place) * probabilities[k])
        adjusted[k] = min(1.0, least)
    return adjusted


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whether a metric became worse by more than `limit`, a share of its reference."""

    shift: Shift | None
    better: Direction
    limit: float

    @property
    def chance(self) -> float:
        """How likely noise alone makes it as much worse; 1 where nothing is known."""
        if self.shift is None:
            return 1.0
        lower = self.better == "lower"
        return self.shift.p_above if lower else self.shift.p_below

    @property
    def worse(self) -> bool:
        """Whether the ratio is beyond the limit, on the wrong side."""
        return self.shift is not None and self._beyond(self.shift.ratio, self.better)

    @property
    def improved(self) -> bool:
        """Whether the ratio is beyond the limit on the right side, and beyond noise."""
        other: Direction = "higher" if self.better == "lower" else "lower"
        if self.shift is None or not self._beyond(self.shift.ratio, other):
            return False
        chance = min(self.shift.p_above, self.shift.p_below)
        return chance <= TEST_LEVEL

    def _beyond(self, ratio: float, better: Direction) -> bool:
        limit = self.limit
        return ratio > 1 + limit if better == "lower" else ratio < 1 - limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A verdict, and the probability behind it as one of its suite."""

    verdict: Verdict
    improved: bool
    p: float
    p_of_suite: float


def judge(suite: Sequence[Question], among: int = 0) -> list[Answer]:
    """The answers to all questions of a suite, which are judged together.

    A regression is beyond its limit, beyond noise at 1 %, and by Holm beyond what the
    suite as a whole makes by chance in 5 %. What is beyond the limit and may be noise,
    and what nothing is known of, is inconclusive; the second is no part of the suite.
    `among` is how many questions the suite will have, where more are to come.
    """
    told = [k for k, one in enumerate(suite) if one.shift is not None]
    adjusted = holm([suite[k].chance for k in told], among)
    of_suite = dict(zip(told, adjusted, strict=True))
    return [
        Answer(
            verdict=_verdict(question, of_suite.get(k, 1.0)),
            improved=question.improved,
            p=question.chance,
            p_of_suite=of_suite.get(k, 1.0),
        )
        for k, question in enumerate(suite)
    ]


def _verdict(question: Question, of_suite: float) -> Verdict:
    if question.shift is None:
        return "inconclusive"
    if not question.worse:
        return "pass"
    sure = question.chance <= TEST_LEVEL and of_suite <= SUITE_LEVEL
    return "regression" if sure else "inconclusive"


def alternating(reference: Sequence[float], run: Sequence[float]) -> bool:
    """Whether sessions began in turn, as A B A B or A B B A, by when each did.

    Never more than two of a side in a row: what drifts then hits both alike.
    """
    places = sorted([(at, False) for at in reference] + [(at, True) for at in run])
    sides = "".join("B" if of_run else "A" for _, of_run in places)
    enough = min(len(reference), len(run)) >= LEAST_SESSIONS
    return enough and "AAA" not in sides and "BBB" not in sides


def _values(sessions: Sequence[Sequence[float]]) -> list[float]:
    """The geometric mean of each session."""
    return [math.exp(of_logs(cycles)[0]) for cycles in sessions]


def _predicted(
    old: Sequence[float], new: Sequence[float], spread: Noise | None
) -> Difference | None:
    """Where another mean of so many sessions lies, if it is one of the same."""
    if spread is None:
        return None
    error = spread.std * math.sqrt(1 / len(old) + 1 / len(new))
    mean = of_logs(new)[0] - of_logs(old)[0]
    return Difference(mean=mean, error=error, degrees=spread.degrees)


def _told(found: Difference | None, rule: Rule, sizes: tuple[int, int]) -> Shift | None:
    if found is None:
        return None
    from scipy.special import stdtr, stdtrit

    if found.error:
        t = found.mean / found.error
        below = float(stdtr(found.degrees, t))
        width = found.error * float(stdtrit(found.degrees, 1 - TEST_LEVEL))
    else:
        below = 0.5 + math.copysign(0.5, found.mean) if found.mean else 0.5
        width = 0.0
    return Shift(
        ratio=math.exp(found.mean),
        low=math.exp(found.mean - width),
        high=math.exp(found.mean + width),
        visible=math.exp(width),
        p_above=1 - below,
        p_below=below,
        rule=rule,
        sessions=sizes,
    )
