"""The rounds of a series, one after another, and the file that says how far it is."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from pytest_lem.errors import ConfigError
from pytest_lem.records.export import read_json
from pytest_lem.records.files import write_atomic
from pytest_lem.records.record import Record
from pytest_lem.rounds.checkout import Checkout, Source, changes
from pytest_lem.rounds.running import run_session

_FILE = "rounds.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A session that was run for a side; `problem` says why it does not count."""

    number: int
    side: str
    status: int
    duration_s: float
    problem: str | None
    report: str
    log: str


@dataclass(slots=True, kw_only=True)
class Series:
    """What is run: the sides in their order, and the rounds that are done.

    `changed` has what each side had uncommitted when the series began, `fail` by which
    limits it is judged.
    """

    folder: Path
    kind: str
    start: Path
    arguments: Sequence[str]
    plan: Sequence[str]
    sources: Mapping[str, Source]
    changed: Mapping[str, str | None]
    fail: Sequence[str]
    done: list[Round] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path, kind: str) -> Self:
        """A series that was begun; raises ConfigError where there is none."""
        path = folder / _FILE
        try:
            told = json.loads(path.read_bytes())
            if told["kind"] != kind:
                raise ConfigError(f"{folder} is of `lem {told['kind']}`")
            return cls(
                folder=folder.resolve(),
                kind=kind,
                start=Path(told["start"]),
                arguments=told["arguments"],
                plan=told["plan"],
                sources={side: _source(one) for side, one in told["sources"].items()},
                changed=told["changed"],
                fail=told["fail"],
                done=[Round(**one) for one in told["rounds"]],
            )
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path} is no list of rounds: {error}") from error

    def write(self) -> None:
        """Keep it, for who goes on; raises ConfigError where that cannot be."""
        told: dict[str, Any] = {
            "kind": self.kind,
            "start": str(self.start),
            "arguments": list(self.arguments),
            "plan": list(self.plan),
            "sources": {
                side: {**asdict(one), "directory": _text(one.directory)}
                for side, one in self.sources.items()
            },
            "changed": dict(self.changed),
            "fail": list(self.fail),
            "rounds": [asdict(one) for one in self.done],
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self.folder / _FILE, json.dumps(told, indent=1) + "\n")
        except OSError as error:
            raise ConfigError(f"{self.folder}: {error.strerror}") from error

    def check(self) -> None:
        """Raises ConfigError where the code of a side is no longer what it was."""
        for side, one in self.sources.items():
            if one.directory and changes(one.directory) != self.changed[side]:
                raise ConfigError(
                    f"{side}: the files of {one.said} changed since the first round"
                )

    @property
    def failed(self) -> list[Round]:
        """Rounds that do not count."""
        return [one for one in self.done if one.problem]

    def records(self, side: str) -> list[Record]:
        """What the rounds of a side measured, where they count."""
        return [
            read_json(self.folder / one.report)
            for one in self.done
            if one.side == side and not one.problem
        ]

    def run(
        self,
        places: Mapping[Source, Checkout],
        judged: Callable[[Sequence[str]], bool],
        say: Callable[[str], None],
    ) -> None:
        """Run what is left, as long as what counts then will be enough to be `judged`.

        A line is said for each round. Raises ConfigError where code changes meanwhile.
        """
        while self._left and judged([*self._kept, *self._left]):
            one, for_good = self._round(places)
            self.check()
            self.done.append(one)
            self.write()
            say(self._line(one))
            if for_good and self._left:
                say("the next would end as this did: no more are run")
                return
        if self._left:
            say("the rounds that are left could not be judged: no more are run")

    @property
    def _kept(self) -> list[str]:
        return [one.side for one in self.done if not one.problem]

    @property
    def _left(self) -> Sequence[str]:
        return self.plan[len(self.done) :]

    def _round(self, places: Mapping[Source, Checkout]) -> tuple[Round, bool]:
        number, side = len(self.done) + 1, self._left[0]
        name = f"{number:02}-{side}"
        report, log = self.folder / f"{name}.json", self.folder / f"{name}.log"
        report.unlink(missing_ok=True)
        one = self.sources[side]
        ended = run_session(places[one], self.arguments, report, log)
        problem = ended.problem or _elsewhere(read_json(report), one)
        return Round(
            number=number,
            side=side,
            status=ended.status,
            duration_s=ended.duration_s,
            problem=problem,
            report=report.name,
            log=log.name,
        ), ended.for_good

    def _line(self, one: Round) -> str:
        which = f"round {one.number} of {len(self.plan)}"
        which += (
            f", {one.side} {self.sources[one.side].text}" if self.kind == "ab" else ""
        )
        if one.problem:
            return f"{which}: does not count: {one.problem}: {self.folder / one.log}"
        return f"{which}: {one.duration_s:.1f} s"


def _elsewhere(record: Record, one: Source) -> str | None:
    """Whether pytest took its root from somewhere else than the checkout."""
    found = (record.session.git or {}).get("commit")
    if one.commit is None or found in (one.commit, None):
        return None
    return f"it measured commit {found[:9]}: name its tests by relative paths"


def _source(told: Mapping[str, Any]) -> Source:
    directory = told["directory"]
    return Source(
        said=told["said"],
        commit=told["commit"],
        directory=None if directory is None else Path(directory),
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
