"""Experiments against each other: a cost, its ratio, and whether work was equal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations, product
from typing import Any

from pytest_lem.analysis.compare import Ratio, ratio
from pytest_lem.analysis.metrics import METRICS
from pytest_lem.errors import ConfigError
from pytest_lem.gate.apart import Apart, apart
from pytest_lem.gate.side import WEIGHTS, Side, asked, is_energy, same, sides
from pytest_lem.records.record import Record, Window
from pytest_lem.report.table import NONE, cell, mark, table, visible
from pytest_lem.spec.nearest import unknown

METRIC = "energy_per_output_token_j"
_PRODUCTS = {"edp_js": "EDP", "ed2p_js2": "ED2P"}
_OF_MODEL = ("model", "revision", "adapter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two experiments that differ in one key, or in none: their ratio, or what else.

    `ratio` is None where `differences` are there. Beside energy per output token,
    `products` has the ratios of EDP and ED2P where both have them. Without a key,
    `others` has all that differs and does not stand in the way.
    """

    first: Side
    second: Side
    by: str | None
    metric: str
    differences: Sequence[str]
    others: Sequence[Apart]
    ratio: Ratio | None
    products: Mapping[str, Ratio] = field(default_factory=dict)

    @property
    def both(self) -> tuple[Side, Side]:
        """The sides."""
        return self.first, self.second

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "metric": self.metric,
            "by": self.by,
            "backends": [one.backend for one in self.both],
            "entry_points": [one.entry_point for one in self.both],
            "experiments": [one.experiment.id for one in self.both],
            "values": [one.values(self.metric) for one in self.both],
            "ratio": asdict(self.ratio) if self.ratio else None,
            "products": {name: asdict(one) for name, one in self.products.items()},
            "differences": list(self.differences),
            "others": [one.to_json() for one in self.others],
        }

    def to_row(self) -> dict[str, Any]:
        """The same as one row of a table: a column for each end of each ratio."""
        found = {"ratio": self.ratio}
        found |= {f"{name}_ratio": self.products.get(name) for name in _PRODUCTS}
        ends = {
            f"{name}_{end}".removesuffix("_value"): one and getattr(one, end)
            for name, one in found.items()
            for end in ("value", "low", "high")
        }
        rest = self.to_json()
        return {k: v for k, v in rest.items() if k not in ("ratio", "products")} | ends


def compare(
    records: Sequence[Record], by: str | None, metric: str = METRIC
) -> list[Comparison]:
    """Experiments of one report, or of the first and the second.

    By a key: those that were asked alike but for it; where there are none, the two most
    alike, with what differs. Without one: each with itself in the other report. Raises
    ConfigError for a key or a metric that is none.
    """
    told = [list(sides(record)) for record in records]
    if metric not in METRICS:
        raise ConfigError(unknown("metric", metric, METRICS))
    pairs = list(combinations(told[0], 2) if len(told) == 1 else product(*told))
    if by is None:
        return [_compared(a, b, by, metric) for a, b in pairs if same(a, b)]
    known = {key for each in told for one in each for key in asked(one)}
    if by not in known and known:
        raise ConfigError(unknown("key", by, known))
    there = [
        (a, b, list(_otherwise(a, b, by)))
        for a, b in pairs
        if asked(a).get(by) != asked(b).get(by)
    ]
    meant = [(a, b) for a, b, others in there if not others]
    if meant or not there:
        return [_compared(a, b, by, metric) for a, b in meant]
    first, second, others = min(there, key=lambda one: len(one[2]))
    return [_comparison(first, second, by, metric, others)]


def caption(found: Sequence[Comparison]) -> str:
    """What stands above the table."""
    info = METRICS[found[0].metric]
    kind = (
        "Gross energy per output token"
        if found[0].metric == METRIC
        else (f"{info.meaning[0].upper()}{info.meaning[1:]}, {info.unit}")
    )
    alike = "Equal prompts, counts and weights."
    if found[0].by is None:
        alike = "Equal work; each side is one session: lem gate judges by several."
    elif found[0].by != "backend":
        alike = f"Asked alike but for {found[0].by}."
    return f"{kind}; second over first by cycles, 95 % interval. {alike}"


def lines(found: Sequence[Comparison], width: int) -> list[str]:
    """The table of those that hold, and what else differs."""
    held = [one for one in found if one.ratio is not None]
    if not held:
        return []
    told = [caption(held), *table([_row(one) for one in held], width)]
    for one in held:
        keys = [f"{other.group} {other.key}" for other in one.others]
        more = f", and {len(keys) - 8} more (lem diff)" if len(keys) > 8 else ""
        if keys:
            name = visible(one.first.experiment.id)
            told.append(f"{name} also differs in {', '.join(keys[:8])}{more}")
    return told


def refusals(found: Iterable[Comparison]) -> Iterator[str]:
    """A line for each pair that cannot be compared, with what differs."""
    for one in found:
        if one.differences:
            names = [visible(side.experiment.id) for side in one.both]
            yield f"{' and '.join(names)}: {'; '.join(one.differences)}"


def _compared(first: Side, second: Side, by: str | None, metric: str) -> Comparison:
    differences = list(_differences(first, second, by, metric))
    return _comparison(first, second, by, metric, differences)


def _comparison(
    first: Side, second: Side, by: str | None, metric: str, differences: Sequence[str]
) -> Comparison:
    values = [one.values(metric) for one in (first, second)]
    names = () if differences or metric != METRIC else _PRODUCTS
    sides_of = {name: (first.values(name), second.values(name)) for name in names}
    return Comparison(
        first=first,
        second=second,
        by=by,
        metric=metric,
        differences=differences,
        others=apart(first, second) if by is None else (),
        ratio=None if differences else ratio(*values),
        products={name: ratio(*both) for name, both in sides_of.items() if all(both)},
    )


def _otherwise(a: Side, b: Side, by: str) -> Iterator[str]:
    """What was asked of one and not of the other, but for the key.

    Each backend has a section and a default precision of its own.
    """
    one, other = asked(a), asked(b)
    own = {key for key in {**one, **other} if "." in key} | {"precision"}
    for key in {**one, **other}:
        if key != by and not (by == "backend" and key in own):
            yield from _unequal(key, one.get(key), other.get(key))


def _differences(a: Side, b: Side, by: str | None, metric: str) -> Iterator[str]:
    """What they did, ran on or were measured by otherwise."""
    for side in (a, b):
        if not side.values(metric):
            yield f"{side.backend} has no {metric}"
    if not (a.cycles and b.cycles):
        return
    one, other = a.cycles[0], b.cycles[0]
    yield from _unequal("cold_start", a.experiment.cold, b.experiment.cold)
    section = by is not None and "." in by
    of_model = by in _OF_MODEL
    if by is None or section or by in ("backend", "precision"):
        yield from _work(a, b)
    for key in () if of_model else WEIGHTS:
        yield from _unequal(key, one.model.get(key), other.model.get(key))
    for key in () if by == "precision" or section else ("weights", "precision"):
        yield from _unequal(key, one.effective.get(key), other.effective.get(key))
    ways = [one.entry_point for one in (a, b) if one.entry_point]
    if len(ways) == 2 and not section:
        yield from _unequal("entry_point", *ways)
    if is_energy(metric):
        yield from _unequal("energy", _meter(a), _meter(b))
    for what, told in (("GPUs", _gpus), ("CPU", _cpu)) if by is not None else ():
        yield from _unequal(what, told(a), told(b))


def _drawn_lengths(side: Side) -> str | None:
    """The hash of the lengths out that were drawn; None where all are alike."""
    drawn = (side.cycles[0].prompts.get("lengths") or {}).get("output")
    return None if drawn is None else str(drawn["sha256"])[:12]


def _work(a: Side, b: Side) -> Iterator[str]:
    """Prompts and counts, window by window as far as both have them."""
    recipes = [side.cycles[0].prompts.get("recipe_sha256") for side in (a, b)]
    yield from _unequal("recipe of prompts", *recipes)
    yield from _unequal("lengths of answers", *map(_drawn_lengths, (a, b)))
    windows, others = _windows(a), _windows(b)
    common = sorted(windows.keys() & others.keys())
    if not common:
        yield "no window of the same cycle and number"
    for place in common:
        x, y = windows[place], others[place]
        found = [
            *_unequal("prompts", x.token_sha256[:12], y.token_sha256[:12]),
            *_unequal("requests", x.requests, y.requests),
            *_unequal("input tokens", x.tokens.input, y.tokens.input),
            *_unequal("output tokens", x.tokens.output, y.tokens.output),
        ]
        if found:
            yield f"cycle {place[0]}, window {place[1]}: {', '.join(found)}"
            return


def _windows(side: Side) -> dict[tuple[int, int], Window]:
    return {
        (cycle.index, window.index): window
        for cycle in side.cycles
        for window in cycle.windows
        if window.kind == "energy"
    }


def _unequal(what: str, one: Any, other: Any) -> Iterator[str]:
    if one != other:
        yield f"{what} {one!r} and {other!r}"


def _gpus(side: Side) -> list[Any]:
    return [gpu.get("name") for gpu in side.environment.get("gpu") or ()]


def _cpu(side: Side) -> Any:
    return (side.environment.get("cpu") or {}).get("model")


def _meter(side: Side) -> Any:
    energy = next((w.energy for c in side.cycles for w in c.windows), None)
    return energy and (energy.meter, energy.basis, energy.scope)


def _named(side: Side, by: str | None) -> str:
    """What tells a side from the other: its backend and entry point, or its key."""
    if by is None:
        return side.session.label or side.session.id
    if by != "backend":
        return f"{by}={asked(side).get(by)}"
    way = side.entry_point
    return f"{side.backend} ({way})" if way else side.backend


def _row(one: Comparison) -> dict[str, str]:
    found, metric = one.ratio, one.metric
    assert found is not None
    unit = METRICS[metric].unit
    signs = [mark(s.experiment) if is_energy(metric) else "" for s in one.both]
    cells = [
        cell(side.experiment.summary.get(metric), sign)
        for side, sign in zip(one.both, signs, strict=True)
    ]
    interval, told = "", NONE
    if found.low is not None and found.high is not None:
        interval = f" ({found.low:.3g} to {found.high:.3g})"
        told = verdict(found.low, found.high, METRICS[metric].better)
    sign = signs[0] or signs[1]
    products = {
        f"{title} ratio": f"{sign}{one.products[name].value:.3g}"
        if name in one.products
        else NONE
        for name, title in _PRODUCTS.items()
    }
    return {
        "experiment": visible(one.first.experiment.id),
        "first": visible(_named(one.first, one.by)),
        unit: cells[0],
        "second": visible(_named(one.second, one.by)),
        f"{unit} ": cells[1],
        "ratio": f"{sign}{found.value:.3g}{interval}",
        "by cycles": told,
        **products,
    }


def verdict(low: float, high: float, better: str | None) -> str:
    """What the interval of a ratio says of the second."""
    if low <= 1 <= high:
        return "no different"
    if better is None:
        return "higher" if low > 1 else "lower"
    return "better" if (high < 1) == (better == "lower") else "worse"
