"""The gate of a session: its reference, and the verdicts as experiments end."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pytest_lem.errors import ConfigError
from pytest_lem.front.settings import Settings
from pytest_lem.front.storing import place_of
from pytest_lem.gate.budget import Spending, spend
from pytest_lem.gate.lending import Stored
from pytest_lem.gate.limit import Limit
from pytest_lem.gate.reference import Reference, read_reference
from pytest_lem.gate.shelf import read_noise
from pytest_lem.gate.side import side_of
from pytest_lem.gate.verdict import Finding, Gate
from pytest_lem.records.long import LongRecord, long
from pytest_lem.records.record import ExperimentRecord, Record
from pytest_lem.spec.demands import DEFAULT_LIMIT, Demands
from pytest_lem.store.place import DEFAULT, parse_place

# From worst to best: an experiment has the worst verdict of its metrics.
_ORDER = ("regression", "exceeded", "incomparable", "inconclusive", "pass")


Judged = Finding | Spending


class Suite(Protocol):
    """All that is measured in a session."""

    @property
    def identities(self) -> Mapping[str, str]:
        """By the id of each experiment."""

    @property
    def entries(self) -> Collection[str]:
        """The ids of those that are planned."""

    def demands(self, name: str) -> Demands:
        """What is asked of an experiment's numbers."""


class Joined:
    """A suite as its workers left it: each judged its own by what was asked of it."""

    def __init__(
        self, experiments: Iterable[ExperimentRecord], settings: Settings
    ) -> None:
        self.identities: dict[str, str] = {}
        self.entries = self.identities
        self._else = Demands(compare_fail=settings["compare-fail"])
        self._rules: dict[str, Any] = {}
        for one in experiments:
            self.identities[one.id] = one.identity
            if one.gate:
                self._rules[one.id] = one.gate["rules"]

    def demands(self, name: str) -> Demands:
        """What its rules say; what the settings do where it was not judged."""
        if (rules := self._rules.get(name)) is None:
            return self._else
        limits = [one for one in rules if "limit_pct" in one]
        return Demands(
            compare_fail=tuple(
                f"{one['metric']}:{one['limit_pct']}%" for one in limits
            ),
            budgets={r["budget"]: r["amount"] for r in rules if "budget" in r},
        )


class Gating:
    """Judges experiments by the reference of the session; nothing where it has none.

    `renewed` is the label that the session may join, `strict` says that what cannot be
    judged fails.
    """

    def __init__(self, settings: Settings, root: Path, suite: Suite) -> None:
        self._settings = settings
        self._root = root
        self._suite = suite
        self.strict = settings["inconclusive"] == "fail" or settings["strict"]
        self.references: list[Reference] = []
        self._stored: list[Stored] = []
        self._failed: set[str] = set()
        self.renewed: str | None = None
        self.found: list[Finding] = []
        self.spent: list[Spending] = []

    def open(self) -> None:
        """Read the reference; raises ConfigError with a line for what cannot be."""
        self.references = list(map(self._read, self._settings["compare"]))
        self._stored = read_noise() if self.references else []
        if self._settings["update-ref"]:
            self.renewed = self._label()

    @property
    def _reference(self) -> list[Record]:
        return [record for one in self.references for record in one.records]

    def judges(self, name: str) -> bool:
        """Whether there is something to hold an experiment against."""
        return bool(self.references or self._suite.demands(name).budgets)

    def judge(self, record: Record) -> tuple[str | None, list[Judged]]:
        """The verdict on the one experiment of a record, and what fails its test.

        It is judged as one of the suite's, of which others are to come.
        """
        questions = sum(len(self._limits(name)) for name in self._suite.entries)
        compared, spent = self._judge(long(record), among=questions)
        found: list[Judged] = [*compared, *spent]
        bad = [one for one in found if self._fails(one)]
        self._failed |= {one.experiment for one in bad}
        return worst(found), bad

    def complete(self, record: LongRecord) -> LongRecord:
        """The record of the session with all verdicts, as its suite has them."""
        self.found, self.spent = self._judge(record)
        return _with_blocks(record, [*self.found, *self.spent])

    def noted(self, record: LongRecord) -> LongRecord:
        """The record of a worker with its verdicts, which are not the last word."""
        compared, spent = self._judge(record)
        return _with_blocks(record, [*compared, *spent])

    def late(self, failed: Collection[str] = ()) -> Iterator[str]:
        """A line for each experiment that only the whole suite shows to be worse.

        `failed` are those whose tests have failed elsewhere.
        """
        bad = {one.experiment for one in self.found if one.verdict == "regression"}
        for name in sorted(bad - self._failed - {*failed}):
            yield f"{name}: regression, judged with the whole suite"

    def _judge(
        self, record: LongRecord, among: int = 0
    ) -> tuple[list[Finding], list[Spending]]:
        """By reference and by budget; without either nothing is gone through."""
        spent: list[Spending] = []
        gate = Gate(
            self._reference,
            self._limits,
            stored=self._stored,
            allowed=self._settings["allow-incomparable"],
            rule=self._settings["gate-rule"],
        )
        for one in record if any(map(self.judges, self._suite.entries)) else ():
            side = side_of(record.head, one)
            spent += spend(side, self._suite.demands(one.id).budgets)
            if self.references:
                gate.hear(one.id, [side])
        return gate.verdicts(among), spent

    def _limits(self, name: str) -> list[Limit]:
        texts = self._suite.demands(name).compare_fail or (DEFAULT_LIMIT,)
        return list(map(Limit.parse, texts))

    def _read(self, name: str) -> Reference:
        settings = self._settings
        typed = settings.origins["compare"] == "cli"
        root = Path.cwd() if typed else self._root
        place = place_of(settings, self._root) or parse_place(DEFAULT, self._root)
        run = self._suite.identities.items()
        try:
            return read_reference(name, root=root, place=place, run=run)
        except ConfigError as error:
            said = f"{settings.says('compare')}={name}: {error.message}"
            raise ConfigError(said) from error

    def _label(self) -> str:
        """The one label that this session may join."""
        labels = [one.name for one in self.references if one.kind == "label"]
        if len(labels) != 1:
            raise ConfigError(
                f"{self._settings.says('update-ref')}: --lem-compare names "
                f"{len(labels)} labels of the store, and one can be renewed"
            )
        return labels[0]

    def _fails(self, one: Judged) -> bool:
        bad = {"regression", "exceeded", "incomparable"}
        return one.verdict in bad | {*(["inconclusive"] * self.strict)}


def worst(found: Sequence[Judged]) -> str | None:
    """The verdict on an experiment; None where it was not judged."""
    told = {one.verdict for one in found}
    return next((verdict for verdict in _ORDER if verdict in told), None)


def _with_blocks(record: LongRecord, found: Sequence[Judged]) -> LongRecord:
    """Each experiment that was judged with its verdicts."""
    by_name: dict[str, list[Judged]] = {}
    for it in found:
        by_name.setdefault(it.experiment, []).append(it)

    def judged(one: ExperimentRecord) -> ExperimentRecord:
        if one.id not in by_name:
            return one
        nulls = {key: why for key, why in one.nulls.items() if key != "gate"}
        update = {"gate": _block(by_name[one.id]), "nulls": nulls}
        return one.model_copy(update=update)

    return record.each(judged)


def _block(found: Sequence[Judged]) -> dict[str, Any]:
    return {"verdict": worst(found), "rules": [one.to_json() for one in found]}
