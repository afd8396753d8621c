"""What a test gets back: metrics that compare like numbers and know their spread."""

from collections.abc import Mapping, Sequence
from functools import total_ordering
from typing import SupportsFloat

from pytest_lem.analysis.metrics import METRICS
from pytest_lem.analysis.stats import STANDARD, Statistics, Summary
from pytest_lem.errors import NullMetricError
from pytest_lem.records.assemble import complete, null_reasons, result_flags, summaries
from pytest_lem.records.record import Cycle
from pytest_lem.records.search import search_record, without_trials
from pytest_lem.spec.nearest import unknown


@total_ordering
class Metric:
    """A number with unit and interval, or nothing with a reason.

    `low` and `high` are the 95 % interval over cycles, None below two cycles;
    `samples` has one value per cycle. Comparing or converting a Metric without a
    value raises NullMetricError; `exists` asks.
    """

    __slots__ = ("_reason", "_summary", "name", "samples")

    def __init__(
        self,
        name: str,
        summary: Summary | None,
        samples: Sequence[float],
        reason: str = "",
    ) -> None:
        self.name = name
        self.samples = tuple(samples)
        self._summary = summary
        self._reason = reason

    @property
    def exists(self) -> bool:
        """Whether there is a value."""
        return self._summary is not None

    @property
    def reason(self) -> str | None:
        """Why there is no value; None where there is one."""
        return None if self.exists else self._reason

    @property
    def value(self) -> float:
        """Mean over cycles."""
        return self._known().value

    @property
    def unit(self) -> str:
        """The unit, also where there is no value."""
        return METRICS[self.name].unit

    @property
    def low(self) -> float | None:
        """Lower end of the interval over cycles."""
        return self._known().ci_low

    @property
    def high(self) -> float | None:
        """Upper end of the interval over cycles."""
        return self._known().ci_high

    @property
    def n(self) -> int:
        """Cycles that have a value."""
        return len(self.samples)

    def __float__(self) -> float:
        return self.value

    def __bool__(self) -> bool:
        return bool(self.value)

    def __eq__(self, other: object) -> bool:
        # As a float: `pytest.approx` is asked by the number, which cannot compare.
        return self.value == (other.value if isinstance(other, Metric) else other)

    def __lt__(self, other: SupportsFloat) -> bool:
        if not isinstance(other, SupportsFloat):
            return NotImplemented
        return self.value < float(other)

    def __hash__(self) -> int:
        return hash(self.value) if self.exists else hash((self.name, self._reason))

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    def __repr__(self) -> str:
        if not self.exists:
            return f"<Metric {self.name}: null, {self._reason}>"
        return f"<Metric {self.name}: {self.value:.4g} {self.unit}, n={self.n}>"

    def _known(self) -> Summary:
        if self._summary is None:
            raise NullMetricError(f"{self.name} does not exist: {self._reason}")
        return self._summary


class Result:
    """The cycles of one experiment so far, pooled; each metric is an attribute.

    `search` is as the record has it: the rate found by `--lem-search`, None without.
    """

    def __init__(self, cycles: Sequence[Cycle], asked: Statistics = STANDARD) -> None:
        self.cycles = tuple(without_trials(cycles))
        self.search = search_record(cycles)
        self._metrics = _metrics(self.cycles, asked)

    def __getattr__(self, name: str) -> Metric:
        if name.startswith("_") or name not in self._metrics:
            raise AttributeError(unknown("metric", name, METRICS))
        return self._metrics[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *METRICS]

    @property
    def flags(self) -> frozenset[str]:
        """Named conditions that make the values less trustworthy."""
        return frozenset(result_flags(self.cycles))

    def __repr__(self) -> str:
        return f"<Result of {len(complete(self.cycles))} cycles>"


def _metrics(cycles: Sequence[Cycle], asked: Statistics) -> Mapping[str, Metric]:
    found, reasons = summaries(cycles, asked), null_reasons(cycles)
    metrics = {}
    for name in METRICS:
        values = [cycle.metrics.get(name) for cycle in complete(cycles)]
        samples = [value for value in values if value is not None]
        reason = reasons.get(name, "not measured")
        metrics[name] = Metric(name, found.get(name), samples, reason)
    return metrics
