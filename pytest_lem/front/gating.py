"""The gate of a session: its reference, and the verdicts as experiments end."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.front.gate_options import DEFAULT_LIMIT
from pytest_lem.front.settings import Settings
from pytest_lem.front.storing import place_of
from pytest_lem.gate.lending import Stored
from pytest_lem.gate.reference import Reference, read_reference
from pytest_lem.gate.shelf import read_noise
from pytest_lem.gate.verdict import Finding, Limit, gate
from pytest_lem.records.record import Record
from pytest_lem.store.place import DEFAULT, parse_place

# From worst to best: an experiment has the worst verdict of its metrics.
_ORDER = ("regression", "incomparable", "inconclusive", "pass")


class Gating:
    """Judges experiments by the reference of the session; nothing where it has none.

    `renewed` is the label that the session may join, `strict` says that what cannot be
    judged fails.
    """

    def __init__(self, settings: Settings, root: Path) -> None:
        self._settings = settings
        self._root = root
        self._texts: Sequence[str] = settings["compare-fail"] or (DEFAULT_LIMIT,)
        self.strict = settings["inconclusive"] == "fail" or settings["strict"]
        self.references: list[Reference] = []
        self._stored: list[Stored] = []
        self._limits: list[Limit] = []
        self._failed: set[str] = set()
        self.renewed: str | None = None
        self.found: list[Finding] = []

    def open(self, run: Iterable[tuple[str, str]]) -> None:
        """Read the reference; raises ConfigError with a line for what cannot be.

        `run` has the id and identity of each experiment.
        """
        names = self._settings["compare"]
        self._limits = list(map(Limit.parse, self._texts))
        self.references = list(map(partial(self._read, run=[*run]), names))
        self._stored = read_noise() if names else []
        if self._settings["update-ref"]:
            self.renewed = self._label()

    @property
    def _reference(self) -> list[Record]:
        return [record for one in self.references for record in one.records]

    def judge(
        self, record: Record, experiments: int
    ) -> tuple[str | None, list[Finding]]:
        """The verdict on the one experiment of a record, and what fails its test.

        It is judged as one of the suite's `experiments`, of which others are to come.
        """
        questions = experiments * len(self._limits)
        found = gate(
            [record],
            self._reference,
            self._limits,
            stored=self._stored,
            among=questions,
        )
        bad = [one for one in found if self._fails(one)]
        self._failed |= {one.experiment for one in bad}
        return worst(found), bad

    def complete(self, record: Record) -> Record:
        """The record of the session with all verdicts, as its suite has them."""
        if not self.references:
            return record
        self.found = gate([record], self._reference, self._limits, stored=self._stored)
        experiments = []
        for one in record.experiments:
            mine = [each for each in self.found if each.experiment == one.id]
            nulls = {key: why for key, why in one.nulls.items() if key != "gate"}
            update = {"gate": _block(mine), "nulls": nulls}
            experiments.append(one.model_copy(update=update))
        return record.model_copy(update={"experiments": experiments})

    def late(self) -> Iterator[str]:
        """A line for each experiment that only the whole suite shows to be worse."""
        bad = {one.experiment for one in self.found if one.verdict == "regression"}
        for name in sorted(bad - self._failed):
            yield f"{name}: regression, judged with the whole suite"

    def _read(self, name: str, run: Sequence[tuple[str, str]]) -> Reference:
        settings = self._settings
        typed = settings.origins["compare"] == "cli"
        root = Path.cwd() if typed else self._root
        place = place_of(settings, self._root) or parse_place(DEFAULT, self._root)
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

    def _fails(self, one: Finding) -> bool:
        bad = {"regression", "incomparable", *(["inconclusive"] * self.strict)}
        return one.verdict in bad


def worst(found: Sequence[Finding]) -> str | None:
    """The verdict on an experiment; None where it was not judged."""
    told = {one.verdict for one in found}
    return next((verdict for verdict in _ORDER if verdict in told), None)


def _block(found: Sequence[Finding]) -> dict[str, Any]:
    return {"verdict": worst(found), "rules": [one.to_json() for one in found]}
