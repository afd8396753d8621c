"""`--lem-stop`: what a sweep has told, and which experiments it leaves out for that."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_lem.analysis.sweeping import Dominated, EnergyLimit, Flat, Rule
from pytest_lem.errors import ConfigError
from pytest_lem.front.campaigns import of_grid, rules_of, shown
from pytest_lem.front.findings import Findings
from pytest_lem.front.program import Program
from pytest_lem.front.settings import Settings
from pytest_lem.records.derived import spent_j
from pytest_lem.records.result import Metric
from pytest_lem.spec.experiment import Experiment


class Sweeps:
    """Asked before an experiment begins; one that has begun is always finished.

    A sweep is what one parametrised function, or one file, has for a backend.
    """

    def __init__(
        self, settings: Settings, program: Program, findings: Findings
    ) -> None:
        self._rules: tuple[Rule, ...] = settings["stop"]
        self._said = settings.says("stop")
        self._program = program
        self._findings = findings
        self._left_out: Counter[str] = Counter()
        self._values_known: dict[tuple[str, str], tuple[str, float | None]] = {}
        self._places: dict[tuple[str, str], tuple[float | None, str]] = {}

    def check(self, *, metered: bool, shared: bool) -> None:
        """Raise ConfigError where rules cannot be obeyed.

        Nobody counts joules without a meter, and no worker of xdist knows what the
        others measured.
        """
        items = self._program.items.values()
        files = {shown(one): rules for one in items if (rules := rules_of(one))}
        for said, rules in ({self._said: self._rules} | files).items():
            if not metered and any(isinstance(one, EnergyLimit) for one in rules):
                raise ConfigError(f"{said}: no meter is at work to count joules")
            if shared and rules:
                raise ConfigError(
                    f"{said}: no worker knows what the others measured, and so when to "
                    "stop: leave out -n"
                )

    def reason(self, item: pytest.Item) -> str | None:
        """Why an experiment that is to begin is left out; None where it is not."""
        if self._findings.has(item.nodeid):
            return None
        told = (self._by(one, item) for one in (*self._rules, *rules_of(item)))
        reason = self._asked(item) or next(filter(None, told), None)
        if reason is not None:
            self._left_out[reason] += 1
            self._program.skip(item.nodeid, reason)
        return reason

    @property
    def told(self) -> Iterator[str]:
        """A line for each reason that experiments were left out for."""
        for reason, count in self._left_out.items():
            yield f"left out {count} experiment{'s' * (count != 1)}: {reason}"

    def _asked(self, item: pytest.Item) -> str | None:
        hook = item.ihook.pytest_lem_should_stop
        if not hook.get_hookimpls():
            return None  # as nearly always: pooling all that was measured takes time
        found = hook(item=item, results=self._findings.results())
        return None if found is None else str(found)

    def _by(self, rule: Rule, item: pytest.Item) -> str | None:
        if isinstance(rule, EnergyLimit):
            names, said = self._findings.names, self._said
            if rule not in self._rules:
                said = shown(item)
                names = [it for it in names if it.partition("::")[0] == said]
            if sum(map(self._energy_j, names)) < rule.limit_j:
                return None
            return f"the {rule.limit_j:g} J of {said} are spent"
        if isinstance(rule, Flat):
            return rule.reason(list(self._values(rule.metric, item)))
        return rule.reason(self._points(rule, item))

    def _energy_j(self, name: str) -> float:
        """What an experiment that has begun takes, its cycles to come included."""
        done = len(self._findings.hashes(name))
        effort = self._program.experiments[name].effort
        planned = done if effort.cycles == "auto" else effort.most_cycles
        return self._spent_j(name) * max(1.0, planned / done)

    def _values(self, metric: str, item: pytest.Item) -> Iterator[float]:
        """What the sweep of an item has measured, in the order it ran."""
        for name in self._findings.names:
            if self._sweep(name) == self._sweep(item.nodeid):
                value = self._value(name, metric)
                if value is not None:
                    yield value

    def _points(self, rule: Dominated, item: pytest.Item) -> dict[float, Any]:
        """What was measured with lower values of the one parameter, all else equal."""
        value, rest = self._place(item.nodeid, rule.along)
        points: dict[float, Any] = {}
        for name in self._findings.names if value is not None else ():
            other, its_rest = self._place(name, rule.along)
            if other is None or value is None or other >= value or its_rest != rest:
                continue
            metrics = {one: self._value(name, one) for one in rule.metrics}
            if None not in metrics.values():
                points[other] = metrics
        return points

    def _value(self, name: str, metric: str) -> float | None:
        """A metric over the cycles so far."""

        def pooled() -> float | None:
            found: Metric = getattr(self._findings.result(name), metric)
            return found.value if found.exists else None

        return self._known(name, metric, pooled)

    def _spent_j(self, name: str) -> float:
        """What the cycles so far took."""

        def summed() -> float:
            return sum(filter(None, map(spent_j, self._findings.cycles(name))))

        return self._known(name, "", summed) or 0.0

    def _known(
        self, name: str, what: str, find: Callable[[], float | None]
    ) -> float | None:
        """What the cycles of an experiment tell, found anew where they are others."""
        last = self._findings.hashes(name)[-1]
        known = self._values_known.get((name, what))
        if known is None or known[0] != last:
            known = self._values_known[name, what] = last, find()
        return known[1]

    def _place(self, name: str, path: str) -> tuple[float | None, str]:
        if (name, path) not in self._places:
            experiment = self._program.experiments[name]
            number, rest = _apart(experiment, path)
            self._places[name, path] = number, f"{self._sweep(name)} {rest}"
        return self._places[name, path]

    def _sweep(self, name: str) -> tuple[str, str]:
        item = self._program.items[name]
        place = shown(item) if of_grid(item) else name.partition("[")[0]
        return place, self._program.experiments[name].spec.backend


def _apart(experiment: Experiment, path: str) -> tuple[float | None, str]:
    """The number that a parameter is, None where it is none, and all other ones."""
    spec = experiment.spec.model_dump(mode="json")
    work = experiment.workload.model_dump(mode="json")
    found = {**spec, **work, spec["backend"]: spec.pop("engine")}
    *sections, name = path.split(".")
    place: Any = found
    for section in sections:
        place = place.get(section) if isinstance(place, dict) else None
    value = place.pop(name, None) if isinstance(place, dict) else None
    number = value if isinstance(value, (int, float)) else None
    return number, json.dumps(found, sort_keys=True)
