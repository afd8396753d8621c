"""How hard an experiment is measured; never part of its identity."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Literal, Self

from pytest_lem.errors import ConfigError

MOST_CYCLES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """When an engine counts as warm.

    `cv`: go on until the coefficient of variation of the last `window` iteration
    times is at most `cv`, with at least `least` and at most `most` iterations.
    `fixed`: exactly `most` iterations. `off`: none.
    """

    kind: Literal["cv", "fixed", "off"] = "cv"
    cv: float = 0.05
    window: int = 5
    least: int = 5
    most: int = 50

    @classmethod
    def parse(cls, text: str) -> Self:
        """`cv:0.05,window=5,min=5,max=50`, `fixed:N` or `off`."""
        kind, _, rest = text.strip().partition(":")
        if kind == "off" and not rest:
            return cls(kind="off", least=0, most=0)
        try:
            if kind == "fixed":
                return cls._checked(text, kind="fixed", least=int(rest), most=int(rest))
            if kind == "cv":
                return cls._checked(text, **_cv_terms(rest))
        except ValueError as error:
            raise _not_a_warmup(text) from error
        raise _not_a_warmup(text)

    @classmethod
    def _checked(cls, text: str, **terms: object) -> Self:
        policy = cls(**terms)  # type: ignore[arg-type]
        if policy.most < 1 or policy.least > policy.most or policy.window < 2:
            raise _not_a_warmup(text)
        if not 0 < policy.cv < 1 or policy.least < 0:
            raise _not_a_warmup(text)
        if policy.kind == "cv" and policy.window > policy.most:
            raise ConfigError(
                f"warmup={text!r} never converges: its window of {policy.window} "
                f"iterations is above its max of {policy.most}"
            )
        return policy

    def __str__(self) -> str:
        """The policy as it is typed."""
        if self.kind == "cv":
            return f"cv:{self.cv},window={self.window},min={self.least},max={self.most}"
        return f"fixed:{self.most}" if self.kind == "fixed" else "off"


def _cv_terms(rest: str) -> dict[str, float | int]:
    names = {"window": "window", "min": "least", "max": "most"}
    head, *terms = rest.split(",")
    found: dict[str, float | int] = {"cv": float(head)}
    for term in terms:
        key, equals, value = term.strip().partition("=")
        if key not in names or not equals:
            raise ValueError(term)
        found[names[key]] = int(value)
    return found


def _not_a_warmup(text: object) -> ConfigError:
    return ConfigError(
        f"warmup={text!r} is none of 'cv:0.05,window=5,min=5,max=50', 'fixed:N', 'off'"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """Cycles, windows and limits of one experiment.

    `cycles` is a number, or "auto": from 5 to 20, until the interval is as narrow as
    the session asks. `windows` is a number, or "auto": at least 3 windows and at least
    max(`min_seconds`, 20 counter periods) of measured time. `max_seconds` ends the
    windows of one cycle.
    `timeout` (s) limits each step of the worker. `cold_start`: a fresh process before
    each cycle, whose first pass is the one window; nothing is warmed up.
    """

    cycles: int | Literal["auto"] = 3
    windows: int | Literal["auto"] = "auto"
    min_seconds: float = 1.0
    max_seconds: float = 10.0
    warmup: Warmup = Warmup()
    timeout: float = 600.0
    cold_start: bool = False

    def __post_init__(self) -> None:
        """Refuse what no cycle could follow, all of it at once."""
        if problems := list(self._problems()):
            raise ConfigError("\n".join(problems))

    def as_begun(self) -> Self:
        """The same, with what a cold start leaves of warm-up and windows."""
        if self.cold_start is not True:
            return self
        return replace(self, windows=1, warmup=Warmup.parse("off"))

    @property
    def most_cycles(self) -> int:
        """How many cycles there are at most."""
        return MOST_CYCLES if self.cycles == "auto" else self.cycles

    def _problems(self) -> Iterator[str]:
        if self.cycles != "auto" and not _whole(self.cycles):
            yield f"cycles={self.cycles!r} is not a whole number, nor 'auto'"
        elif not 1 <= self.most_cycles <= MOST_CYCLES:
            yield f"cycles={self.cycles} is not between 1 and {MOST_CYCLES}"
        if self.windows != "auto" and not (_whole(self.windows) and self.windows >= 1):
            yield f"windows={self.windows!r} is neither 'auto' nor at least 1"
        for name in ("min_seconds", "max_seconds", "timeout"):
            if not _positive(value := getattr(self, name)):
                yield f"{name}={value!r} is not above 0 and finite"
        if not isinstance(self.cold_start, bool):
            yield f"cold_start={self.cold_start!r} is neither true nor false"
        if not isinstance(self.warmup, Warmup):
            yield _not_a_warmup(self.warmup).message


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _positive(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 < value < math.inf  # type: ignore[operator]


EFFORT_KEYS = tuple(field.name for field in fields(Effort))
