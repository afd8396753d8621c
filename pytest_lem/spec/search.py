"""What is searched for beside an experiment's cycles, and when that ends."""

from dataclasses import dataclass, fields
from typing import Any, Self

GOAL = "max-goodput"
FORM = f"{GOAL}:share=0.9,width=0.1,trials=20,repeats=2"
MOST_TRIALS = 1000

_KINDS = {"share": float, "width": float, "trials": int, "repeats": int}


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The highest rate at which at least `share` of the requests meet their limits.

    It ends when the lowest rate that did not is at most `width` above it, relatively,
    or after `trials` trials. A rate that a trial cannot decide is tried up to `repeats`
    times more.
    """

    share: float = 0.9
    width: float = 0.1
    trials: int = 20
    repeats: int = 2

    @classmethod
    def parse(cls, text: str) -> Self:
        """`max-goodput`, and terms such as `:share=0.99`; ValueError for others."""
        goal, colon, rest = text.strip().partition(":")
        if goal != GOAL:
            raise ValueError(f"is not {FORM!r}, or without some of its terms")
        terms: dict[str, Any] = {}
        for term in rest.split(",") if colon else ():
            name, _, value = (part.strip() for part in term.partition("="))
            if name not in _KINDS:
                raise ValueError(f"has no term {term!r}: write {FORM!r}")
            try:
                terms[name] = _KINDS[name](value)
            except ValueError:
                raise ValueError(f"has no number in {term!r}: write {FORM!r}") from None
        found = cls(**terms)
        if not (0 < found.share < 1 and 0 < found.width < 1):
            raise ValueError("has a share or width that is not between 0 and 1")
        if not (1 <= found.trials <= MOST_TRIALS and found.repeats >= 0):
            most = f"1 to {MOST_TRIALS}"
            raise ValueError(f"has trials that are not {most}, or repeats below 0")
        return found

    def __str__(self) -> str:
        """The search as it is typed."""
        terms = (f"{one.name}={getattr(self, one.name):g}" for one in fields(self))
        return f"{GOAL}:{','.join(terms)}"
