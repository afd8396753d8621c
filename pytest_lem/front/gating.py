"""The gate of a session: its reference, and the verdicts as experiments end."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError
from pytest_lem.front.gate_options import DEFAULT_LIMIT
from pytest_lem.front.settings import Settings
from pytest_lem.gate.verdict import Finding, Limit, gate
from pytest_lem.records.export import read_json
from pytest_lem.records.record import Record

# From worst to best: an experiment has the worst verdict of its metrics.
_ORDER = ("regression", "incomparable", "inconclusive", "pass")


class Gating:
    """Judges experiments by the reference of the session; nothing where it has none."""

    def __init__(self, settings: Settings) -> None:
        self._paths: Sequence[Path] = settings["compare"]
        self._texts: Sequence[str] = settings["compare-fail"] or (DEFAULT_LIMIT,)
        self._strict = settings["inconclusive"] == "fail" or settings["strict"]
        self._reference: list[Record] = []
        self._limits: list[Limit] = []
        self._failed: set[str] = set()
        self.found: list[Finding] = []

    def open(self) -> None:
        """Read the reference; raises ConfigError with a line for what cannot be."""
        self._reference = list(map(_read, self._paths))
        self._limits = list(map(Limit.parse, self._texts))

    def judge(
        self, record: Record, experiments: int
    ) -> tuple[str | None, list[Finding]]:
        """The verdict on the one experiment of a record, and what fails its test.

        It is judged as one of the suite's `experiments`, of which others are to come.
        """
        questions = experiments * len(self._limits)
        found = gate([record], self._reference, self._limits, among=questions)
        bad = [one for one in found if self._fails(one)]
        self._failed |= {one.experiment for one in bad}
        return worst(found), bad

    def complete(self, record: Record) -> Record:
        """The record of the session with all verdicts, as its suite has them."""
        if not self._reference:
            return record
        self.found = gate([record], self._reference, self._limits)
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

    def _fails(self, one: Finding) -> bool:
        bad = {"regression", "incomparable", *(["inconclusive"] * self._strict)}
        return one.verdict in bad


def worst(found: Sequence[Finding]) -> str | None:
    """The verdict on an experiment; None where it was not judged."""
    told = {one.verdict for one in found}
    return next((verdict for verdict in _ORDER if verdict in told), None)


def _block(found: Sequence[Finding]) -> dict[str, Any]:
    return {"verdict": worst(found), "rules": [one.to_json() for one in found]}


def _read(path: Path) -> Record:
    try:
        return read_json(path)
    except OSError as error:
        raise ConfigError(f"--lem-compare={path}: {error.strerror}") from error
    except ValueError as error:
        reason = str(error).splitlines()[1].strip()
        raise ConfigError(
            f"--lem-compare={path}: is no report of pytest-lem: {reason}"
        ) from error
