"""Which settings a metric rises or falls with, experiment by experiment."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_lem.analysis.correlation import LEAST, Correlation, spearman
from pytest_lem.analysis.gating import holm
from pytest_lem.analysis.metrics import HEADLINES
from pytest_lem.gate.side import Side
from pytest_lem.records.record import Record
from pytest_lem.report.factors import all_sides, factors, grouped, level, unmeasured
from pytest_lem.report.services.figures import guess
from pytest_lem.report.table import NONE, probability, table, visible

# Words that have an order: bits of a number.
ORDERED: Mapping[str, Mapping[str, float]] = {
    "precision": {"float16": 16, "bfloat16": 16, "float32": 32}
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """An experiment, however many sessions ran it on the same devices."""

    sides: Sequence[Side]

    @property
    def settings(self) -> dict[str, Any]:
        """What was asked for."""
        return factors(self.sides[0])

    def value(self, metric: str) -> float | None:
        """The mean of its sessions' means over cycles; None where none has it."""
        told = [one.experiment.summary.get(metric) for one in self.sides]
        means = [one.value for one in told if one is not None]
        return sum(means) / len(means) if means else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """A setting and a metric; without a correlation `reason` says why there is none.

    `metric` is None where the setting is not correlated with any. `p_holm` is the
    probability made good for being one of all in the table.
    """

    group: str | None
    setting: str
    metric: str | None
    found: Correlation | None
    p_holm: float | None = None
    guess: str | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        one = self.found
        return {
            "group": self.group,
            "setting": self.setting,
            "metric": self.metric,
            "n": one and one.n,
            "rho": one and one.rho,
            "p": one and one.p,
            "p_holm": self.p_holm,
            "method": one and one.method,
            "guess": self.guess,
            "reason": self.reason,
        }


def correlate(
    records: Iterable[Record],
    metrics: Sequence[str] = HEADLINES,
    by: str | None = "backend",
) -> list[Pairing]:
    """Of all settings and metrics, apart by the values of a key.

    An experiment counts once.
    """
    groups = grouped(all_sides(records), by)
    found = [
        one
        for group, there in groups.items()
        for one in _pairings(group, _units(there), metrics)
    ]
    told = iter(holm([one.found.p for one in found if one.found]))
    return [replace(one, p_holm=next(told)) if one.found else one for one in found]


def lines(found: Sequence[Pairing], width: int) -> list[str]:
    """The table, the strongest first, and what was left out."""
    told = [one for one in found if one.found]
    rows = [_row(one) for one in sorted(told, key=_strength)]
    shown = [_CAPTION, *table(rows, width, name="setting")] if rows else []
    words = sorted({one.guess for one in told if one.guess})
    return [*shown, *_left_out(found), *unmeasured(words)]


def pooled(records: Iterable[Record]) -> str | None:
    """A warning where there are several backends; None where there is one."""
    backends = sorted({side.backend for side in all_sides(records)})
    if len(backends) < 2:
        return None
    return (
        f"{', '.join(backends)} are pooled: what tells them from each other looks like "
        "the effect of any setting in which they differ"
    )


_CAPTION = (
    "Spearman's rho over experiments: 1 where the metric always rises with the "
    "setting, -1 where it always falls. Nothing else is held fixed: lem sensitivity "
    "does that."
)
_SHOWN = 8


def _units(there: Sequence[Side]) -> list[Unit]:
    found: dict[tuple[Any, ...], list[Side]] = {}
    for side in there:
        told = factors(side)
        key = (side.experiment.identity, told["gpu"], told["cpu"])
        found.setdefault(key, []).append(side)
    return [Unit(sides=sides) for sides in found.values()]


def _pairings(
    group: str | None, units: Sequence[Unit], metrics: Sequence[str]
) -> Iterator[Pairing]:
    told = [one.settings for one in units]
    for setting in dict.fromkeys(key for one in told for key in one):
        values = [one.get(setting) for one in told]
        amounts, reason = _amounts(setting, values)
        if reason is not None:
            yield Pairing(
                group=group, setting=setting, metric=None, found=None, reason=reason
            )
            continue
        for metric in metrics:
            yield _pairing(group, setting, metric, units, amounts)


def _pairing(
    group: str | None,
    setting: str,
    metric: str,
    units: Sequence[Unit],
    amounts: Sequence[float | None],
) -> Pairing:
    both = [
        (amount, value, unit)
        for amount, unit in zip(amounts, units, strict=True)
        if amount is not None and (value := unit.value(metric)) is not None
    ]
    found = spearman([one[0] for one in both], [one[1] for one in both])
    sides = [side for _, _, unit in both for side in unit.sides]
    words = (guess(side.experiment.flags, metric) for side in sides)
    return Pairing(
        group=group,
        setting=setting,
        metric=metric,
        found=found,
        guess=next((one for one in words if one), None),
        reason=None if found else _why_not(both),
    )


def _why_not(both: Sequence[tuple[float, float, Unit]]) -> str:
    if len(both) < LEAST:
        return f"{len(both)} experiments have both, and it takes {LEAST}"
    constant = len({one[0] for one in both}) == 1
    return f"{'the setting' if constant else 'the metric'} is the same in all of them"


def _amounts(
    setting: str, values: Sequence[Any]
) -> tuple[list[float | None], str | None]:
    """The values as numbers; or why they are none. What was not set has no number."""
    there = [one for one in values if one is not None]
    if len({level(one) for one in values}) == 1:
        return [], "the same in all experiments"
    order = ORDERED.get(setting, {})
    if all(isinstance(one, int | float) for one in there):
        return [None if one is None else float(one) for one in values], None
    if all(one in order for one in there if isinstance(one, str)) and order:
        return [None if one is None else order[one] for one in values], None
    return [], "names have no order: lem sensitivity takes them"


def _strength(one: Pairing) -> tuple[Any, ...]:
    assert one.found is not None
    return one.group or "", one.metric, -abs(one.found.rho)


def _row(one: Pairing) -> dict[str, str]:
    found = one.found
    assert found is not None
    return {
        "setting": visible(one.setting),
        "group": visible(one.group or NONE),
        "metric": str(one.metric),
        "n": str(found.n),
        "rho": f"{'~' if one.guess else ''}{found.rho:+.2f}",
        "p": probability(found.p),
        "p (Holm)": probability(one.p_holm),
        "by": {"exact": "all orders", "t": "t"}[found.method],
    }


def _left_out(found: Sequence[Pairing]) -> Iterator[str]:
    """A line for each reason, with the settings that it is of."""
    several = len({one.group for one in found}) > 1
    reasons: dict[str, list[str]] = {}
    for one in found:
        if one.reason is not None:
            name = f"{one.setting} and {one.metric}" if one.metric else one.setting
            group = f" ({one.group})" if several and one.group else ""
            reasons.setdefault(one.reason, []).append(f"{name}{group}")
    for reason, names in reasons.items():
        more = f" and {len(names) - _SHOWN} more (--json)"
        rest = more if len(names) > _SHOWN else ""
        yield f"left out, {reason}: {visible(', '.join(names[:_SHOWN]))}{rest}"
