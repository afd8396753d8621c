"""Backends against each other: energy per output token, where they did equal work."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, product
from typing import Any

from pytest_lem.analysis.compare import Ratio, ratio
from pytest_lem.records.record import Cycle, ExperimentRecord, Record, Window
from pytest_lem.report.table import cell, mark, visible

METRIC = "energy_per_output_token_j"
CAPTION = (
    "Gross energy per output token; second over first by cycles, 95 % interval. "
    "Equal prompts, counts and weights."
)
_WEIGHTS = ("config_sha256", "tokenizer_sha256", "weights_sha256", "fingerprint")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """An experiment and the machine that it ran on."""

    experiment: ExperimentRecord
    environment: Mapping[str, Any]

    @property
    def backend(self) -> str:
        """The name of its engine."""
        return str(self.experiment.spec["backend"])

    @property
    def cycles(self) -> list[Cycle]:
        """Those that count."""
        return [one for one in self.experiment.cycles if one.status == "complete"]

    @property
    def entry_point(self) -> str | None:
        """What of the engine's own the windows ran on, where it has several."""
        found = self.cycles[0].effective.get("entry_point") if self.cycles else None
        return None if found is None else str(found)

    @property
    def named(self) -> str:
        """The backend, and its entry point where it has several."""
        return f"{self.backend} ({way})" if (way := self.entry_point) else self.backend


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two experiments that differ in their backend: their ratio, or what else differs.

    `ratio` is None where `differences` are there.
    """

    first: Side
    second: Side
    differences: Sequence[str]
    ratio: Ratio | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        sides = (self.first, self.second)
        return {
            "metric": METRIC,
            "backends": [one.backend for one in sides],
            "entry_points": [one.entry_point for one in sides],
            "experiments": [one.experiment.id for one in sides],
            "values": [_values(one) for one in sides],
            "ratio": asdict(self.ratio) if self.ratio else None,
            "differences": list(self.differences),
        }


def compare(records: Sequence[Record]) -> list[Comparison]:
    """Experiments of one report, or of the first and the second, by their backends.

    Those of the same model and workload; where there are none, the two most alike, with
    what differs. Empty where no two backends are there.
    """
    sides = [list(_sides(record)) for record in records]
    pairs = combinations(sides[0], 2) if len(sides) == 1 else product(*sides)
    there = [
        (a, b, list(_asked(a.experiment, b.experiment)))
        for a, b in pairs
        if a.backend != b.backend
    ]
    meant = [(a, b) for a, b, asked in there if not asked]
    if meant or not there:
        return [_compared(a, b) for a, b in meant]
    first, second, asked = min(there, key=lambda one: len(one[2]))
    return [Comparison(first=first, second=second, differences=asked, ratio=None)]


def _sides(record: Record) -> Iterator[Side]:
    for one in record.experiments:
        yield Side(experiment=one, environment=record.environment)


def rows(found: Iterable[Comparison]) -> list[dict[str, str]]:
    """A row for each comparison that holds."""
    return [_row(one) for one in found if one.ratio is not None]


def refusals(found: Iterable[Comparison]) -> Iterator[str]:
    """A line for each pair that cannot be compared, with what differs."""
    for one in found:
        if one.differences:
            names = [visible(side.experiment.id) for side in (one.first, one.second)]
            yield f"{' and '.join(names)}: {'; '.join(one.differences)}"


def _compared(first: Side, second: Side) -> Comparison:
    differences = list(_differences(first, second))
    known = not differences
    return Comparison(
        first=first,
        second=second,
        differences=differences,
        ratio=ratio(_values(first), _values(second)) if known else None,
    )


def _asked(a: ExperimentRecord, b: ExperimentRecord) -> Iterator[str]:
    """What was asked of one and not of the other: model and workload."""
    for key in ("name", "revision", "adapter"):
        yield from _unequal(f"model {key}", a.spec["model"][key], b.spec["model"][key])
    one, other = a.spec["workload"], b.spec["workload"]
    for key in sorted({*one, *other}):
        yield from _unequal(key, one.get(key), other.get(key))


def _differences(a: Side, b: Side) -> Iterator[str]:
    """What they did, ran on or were measured by otherwise."""
    for side in (a, b):
        if not _values(side):
            yield f"{side.backend} has no {METRIC}"
    if not (a.cycles and b.cycles):
        return
    one, other = a.cycles[0], b.cycles[0]
    yield from _work(a, b)
    for key in _WEIGHTS:
        yield from _unequal(key, one.model.get(key), other.model.get(key))
    for key in ("weights", "precision"):
        yield from _unequal(key, one.effective.get(key), other.effective.get(key))
    ways = [one.entry_point for one in (a, b) if one.entry_point]
    if len(ways) == 2:
        yield from _unequal("entry_point", *ways)
    for what, told in (("GPUs", _gpus), ("CPU", _cpu), ("energy", _meter)):
        yield from _unequal(what, told(a), told(b))


def _work(a: Side, b: Side) -> Iterator[str]:
    """Prompts and counts, window by window as far as both have them."""
    recipes = [side.cycles[0].prompts.get("recipe_sha256") for side in (a, b)]
    yield from _unequal("recipe of prompts", *recipes)
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


def _values(side: Side) -> list[float]:
    told = [cycle.metrics.get(METRIC) for cycle in side.cycles]
    return [value for value in told if value]


def _gpus(side: Side) -> list[Any]:
    return [gpu.get("name") for gpu in side.environment.get("gpu") or ()]


def _cpu(side: Side) -> Any:
    return (side.environment.get("cpu") or {}).get("model")


def _meter(side: Side) -> Any:
    energy = next((w.energy for c in side.cycles for w in c.windows), None)
    return energy and (energy.meter, energy.basis, energy.scope)


def _row(one: Comparison) -> dict[str, str]:
    first, second, found = one.first.experiment, one.second.experiment, one.ratio
    assert found is not None
    interval = ""
    if found.low is not None and found.high is not None:
        interval = f" ({found.low:.3g} to {found.high:.3g})"
    return {
        "experiment": visible(first.id),
        "first": visible(one.first.named),
        "J/token": cell(first.summary.get(METRIC), mark(first)),
        "second": visible(one.second.named),
        "J/token ": cell(second.summary.get(METRIC), mark(second)),
        "ratio": f"{mark(first) or mark(second)}{found.value:.3g}{interval}",
    }
