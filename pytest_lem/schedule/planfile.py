"""The plan of a session on disk: every cycle with what became of it, so far.

`plan.json` is replaced as a whole when a session begins and ends. What happens between
is appended to `plan.log`, a line before and after each cycle, since a plan may have
tens of thousands of them; whoever reads the plan reads both.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from pytest_lem.errors import StoreError
from pytest_lem.records.files import append_line, write_atomic

VERSION = 1
Status = Literal["pending", "running", "completed", "failed", "interrupted", "skipped"]
OPEN = ("pending", "running", "failed", "interrupted")
"""What is still to be run."""


class BrokenPlan(Exception):
    """A plan that cannot be believed, and why."""


@dataclass(slots=True, kw_only=True)
class PlannedExperiment:
    """An experiment of a plan.

    `config` has its settings that are no defaults. `where` is its engine with its
    version, and the interpreter or image if it is elsewhere. `found` is the identity
    of work that only the test's body knew, and `workload` that work. `reports` are
    those of its test, once it has ended.
    """

    experiment_id: str
    identity: str
    backend: str
    where: str
    effort: dict[str, Any]
    config: dict[str, Any]
    found: str | None = None
    workload: dict[str, Any] | None = None
    reports: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class PlannedCycle:
    """One cycle of an experiment: a step of the plan.

    `results` are the hashes of its lines in the journal, `error` the kind and message
    of what went wrong. `duration_s` and `energy_j` are what it took with load and
    warm-up and without the gap before it, None where nobody knows.
    """

    experiment_id: str
    cycle: int
    status: Status = "pending"
    tries: int = 0
    started_at: str | None = None
    ended_at: str | None = None
    duration_s: float | None = None
    energy_j: float | None = None
    error: dict[str, str] | None = None
    results: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class PlanFile:
    """A session's plan; `conditions` has what else must hold for all of its cycles.

    `resumed` has the times at which it was gone on with.
    """

    session: str
    started_at: str
    plugin_version: str
    conditions: dict[str, Any]
    experiments: list[PlannedExperiment]
    steps: list[PlannedCycle]
    ended: bool = False
    resumed: list[str] = field(default_factory=list)
    results: str = "cycles.jsonl"

    @property
    def unfinished(self) -> bool:
        """Whether there is something left to run, or its end was never written."""
        return not self.ended or any(one.status in OPEN for one in self.steps)

    @property
    def wanted(self) -> set[str]:
        """The hashes of all results that count."""
        return {digest for one in self.steps for digest in one.results}

    def apply(self, change: Mapping[str, Any]) -> None:
        """Take in a line of the log; raises BrokenPlan where it is none."""
        try:
            where, values = str(change["of"]), change["is"]
            one = _part(self, where, change["at"])
            names = {part.name for part in fields(one)}
            for name in values:
                if name not in names:
                    raise BrokenPlan(f"plan.log: {name!r} is no part of a {where}")
                setattr(one, name, values[name])
        except (KeyError, IndexError, TypeError) as error:
            raise BrokenPlan(f"plan.log: {error!r} is in no plan") from error


class PlanBook:
    """The two files of a plan in the folder of its session."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "plan.json"
        self.log = directory / "plan.log"

    def write(self, plan: PlanFile) -> None:
        """Replace the plan, what the log tells included; raises StoreError."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path, to_text(plan))
            self.log.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def note(self, plan: PlanFile, of: str, at: int, **values: Any) -> None:
        """Change one `step` or `experiment`, on the disk first; raises StoreError."""
        change = {"of": of, "at": at, "is": values}
        try:
            append_line(
                self.log,
                json.dumps(change, separators=(",", ":"), default=str).encode(),
            )
        except OSError as error:
            raise _unwritable(self.log, error) from error
        plan.apply(change)

    def read(self) -> PlanFile:
        """The plan as it is; raises BrokenPlan, or StoreError if it cannot be read.

        A last line of the log that was cut off tells of nothing that has happened.
        """
        try:
            plan = from_text(self.path.read_text(encoding="utf-8"))
            log = self.log.read_bytes() if self.log.exists() else b""
        except FileNotFoundError:
            raise BrokenPlan("plan.json is missing") from None
        except UnicodeDecodeError as error:
            raise BrokenPlan(f"plan.json is no text: {error.reason}") from error
        except OSError as error:
            raise StoreError(f"{error.filename}: {error.strerror}") from error
        whole, _, _ = log.rpartition(b"\n")
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                change = json.loads(line)
            except ValueError as error:
                raise BrokenPlan(f"plan.log: line {number} is no JSON") from error
            plan.apply(change)
        return plan

    def put_away(self) -> list[Path]:
        """Rename both files to `*.bak`; the new names. Raises StoreError."""
        found = []
        for path in (self.path, self.log):
            try:
                if path.exists():
                    found.append(path.replace(path.with_name(f"{path.name}.bak")))
            except OSError as error:
                raise _unwritable(path, error) from error
        return found


def to_text(plan: PlanFile) -> str:
    """The plan as JSON, a line for each experiment and cycle, with its own hash."""
    parts = {name: getattr(plan, name) for name in _SCALARS}
    body = "\n".join(_body(parts, plan))
    digest = hashlib.sha256(body.encode()).hexdigest()
    return f'{{"version":{VERSION},"sha256":"{digest}","plan":\n{body}\n}}\n'


def from_text(text: str) -> PlanFile:
    """The plan that a text holds; raises BrokenPlan."""
    _, found, body = text.partition('"plan":\n')
    body = body.removesuffix("\n}\n")
    try:
        told = json.loads(text)
    except ValueError as error:
        raise BrokenPlan(f"plan.json is no JSON: {error}") from error
    try:
        if told["version"] != VERSION:
            raise BrokenPlan(f"plan.json is of version {told['version']}")
        if not found or told["sha256"] != hashlib.sha256(body.encode()).hexdigest():
            raise BrokenPlan("plan.json has another hash than it says")
        rest = {name: told["plan"][name] for name in _SCALARS}
        experiments = [PlannedExperiment(**one) for one in told["plan"]["experiments"]]
        steps = [PlannedCycle(**one) for one in told["plan"]["steps"]]
    except (KeyError, TypeError) as error:
        raise BrokenPlan(f"plan.json has not the parts of a plan: {error}") from error
    return PlanFile(experiments=experiments, steps=steps, **rest)


_SCALARS = [one.name for one in fields(PlanFile)]
_SCALARS = [name for name in _SCALARS if name not in ("experiments", "steps")]


def _body(parts: Mapping[str, Any], plan: PlanFile) -> Iterator[str]:
    yield json.dumps(parts)[:-1]
    for name in ("experiments", "steps"):
        lines = [json.dumps(_plain(one), default=str) for one in getattr(plan, name)]
        yield f', "{name}": [\n' + ",\n".join(lines) + "\n]"
    yield "}"


def _plain(one: PlannedExperiment | PlannedCycle) -> dict[str, Any]:
    return {part.name: getattr(one, part.name) for part in fields(one)}


def _part(plan: PlanFile, of: str, at: int) -> PlannedExperiment | PlannedCycle:
    if of == "experiment":
        return plan.experiments[at]
    if of == "step":
        return plan.steps[at]
    raise KeyError(of)


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"the plan {path} cannot be written: {error.strerror or error}")
