"""When a sweep has told enough: rules by which experiments not begun are left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.spec.experiment import SPEC_KEYS, WORKLOAD_KEYS
from pytest_lem.spec.nearest import unknown

FORM = (
    "energy:JOULES, flat:METRIC,last=3,by=1 or "
    "dominated:METRIC+METRIC,along=batch_size,by=1"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyLimit:
    """No more joules than these, in all, for the experiments of a session."""

    limit_j: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Flat:
    """A metric that the last experiments of a sweep have not improved.

    By less than `by` percent of the best before them, each of the last `last`.
    """

    metric: str
    last: int = 3
    by: float = 1.0

    def reason(self, values: Sequence[float]) -> str | None:
        """Why the sweep has told enough; None while it goes on.

        `values` are those of the sweep's experiments in the order they ran.
        """
        before, latest = values[: -self.last], values[-self.last :]
        if not before:
            return None
        best = _best(self.metric, before)
        if any(_improves(self.metric, one, best, self.by) for one in latest):
            return None
        return f"{self.metric} did not improve by {self.by:g} % in {self.last} in a row"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dominated:
    """A value of a parameter beyond which others are better in every way.

    No metric is better by `by` percent there than at a lower value, and one is worse.
    """

    metrics: tuple[str, ...]
    along: str = "batch_size"
    by: float = 1.0

    def reason(self, points: Mapping[float, Mapping[str, float]]) -> str | None:
        """Why no higher value of the parameter is tried; None while it goes on.

        `points` has the metrics of each value that was tried, lower ones than those
        that are asked about.
        """
        for high in sorted(points):
            for low in sorted(one for one in points if one < high):
                if self._beats(points[low], points[high]):
                    names = ", ".join(self.metrics)
                    return (
                        f"{self.along}={high:g} is dominated by {self.along}={low:g} "
                        f"({names})"
                    )
        return None

    def _beats(self, low: Mapping[str, float], high: Mapping[str, float]) -> bool:
        better = any(_improves(it, high[it], low[it], self.by) for it in self.metrics)
        worse = any(_improves(it, low[it], high[it], self.by) for it in self.metrics)
        return worse and not better


Rule = EnergyLimit | Flat | Dominated


def parse_rule(text: str) -> Rule:
    """A rule as it is typed; raises ValueError with what is valid."""
    kind, _, rest = text.strip().partition(":")
    first, *terms = (part.strip() for part in rest.split(","))
    if kind == "energy" and not terms:
        limit_j = _number(first)
        if limit_j <= 0:
            raise ValueError("is no energy above 0 J")
        return EnergyLimit(limit_j=limit_j)
    if kind == "flat":
        return _checked(Flat(metric=_metric(first), **_terms(terms, Flat)))
    if kind == "dominated":
        metrics = tuple(_metric(one) for one in first.split("+"))
        return _checked(Dominated(metrics=metrics, **_terms(terms, Dominated)))
    raise ValueError(f"is no rule: write {FORM}")


def _terms(terms: Sequence[str], kind: type[Flat] | type[Dominated]) -> dict[str, Any]:
    names = [one.name for one in fields(kind) if not one.name.startswith("metric")]
    found: dict[str, Any] = {}
    for term in terms:
        name, _, value = (part.strip() for part in term.partition("="))
        if name not in names:
            raise ValueError(f"has no term {term!r}: write {FORM}")
        found[name] = value if name == "along" else _number(value)
    return found


def _checked(rule: Flat | Dominated) -> Rule:
    if rule.by < 0:
        raise ValueError("has a percentage below 0")
    if isinstance(rule, Flat):
        if rule.last < 1 or rule.last != int(rule.last):
            raise ValueError("wants last to be a whole number above 0")
        return Flat(metric=rule.metric, last=int(rule.last), by=rule.by)
    known = [*WORKLOAD_KEYS, *SPEC_KEYS]
    if "." not in rule.along and rule.along not in known:
        raise ValueError(unknown("parameter", rule.along, known))
    return rule


def _metric(name: str) -> str:
    info = METRICS.get(name.strip())
    if info is None:
        raise ValueError(unknown("metric", name.strip(), METRICS))
    if info.better is None:
        raise ValueError(
            f"names {name.strip()}, of which neither more nor less is better"
        )
    return name.strip()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"has no number in {text!r}: write {FORM}") from None


def _best(metric: str, values: Sequence[float]) -> float:
    return max(values) if METRICS[metric].better == "higher" else min(values)


def _improves(metric: str, value: float, than: float, by: float) -> bool:
    """Whether a value is better than another by more than `by` percent of that."""
    gain = value - than if METRICS[metric].better == "higher" else than - value
    return gain > abs(than) * by / 100
