"""Going on with a session: which one, whether its plan still holds, what is left."""

import fcntl
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_lem.errors import ConfigError, StoreError
from pytest_lem.schedule.planfile import (
    OPEN,
    BrokenPlan,
    PlanBook,
    PlanFile,
    PlannedCycle,
    PlannedExperiment,
)
from pytest_lem.spec.nearest import unknown

LAST = "last"
MOST_DIFFERENCES = 12


class PlanLock:
    """Keeps two sessions off one plan; the kernel lets go when its process ends."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "plan.lock"
        self._file: int | None = None

    def take(self) -> None:
        """Lock the plan; raises ConfigError naming who has it, or StoreError."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            file = self._file = os.open(self._path, flags, 0o666)
            # Unlike flock this is no lock of a forked child as well.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(file, 0)
            os.write(file, str(os.getpid()).encode())
        except (BlockingIOError, PermissionError) as error:
            who = self._path.read_text() or "unknown"
            self.release()
            raise ConfigError(
                f"session {self._path.parent.name} is being run by process {who}: "
                "wait for its end, or end it"
            ) from error
        except OSError as error:
            self.release()
            raise StoreError(f"{self._path}: {error.strerror or error}") from error

    def release(self) -> None:
        """Let go of it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def point_to(plan: Path) -> None:
    """Let `.lem/plan.json` lead to the plan of a session; raises StoreError."""
    pointer = plan.parents[2] / "plan.json"
    draft = pointer.with_name(f".plan.{os.getpid()}.part")
    try:
        draft.unlink(missing_ok=True)
        draft.symlink_to(plan.relative_to(pointer.parent))
        draft.replace(pointer)
    except OSError as error:
        raise StoreError(f"{pointer}: {error.strerror or error}") from error


def sessions_below(root: Path) -> list[Path]:
    """The folders of the sessions of a root directory, the newest first."""
    found = (root / ".lem" / "sessions").glob("*")
    return sorted((one for one in found if one.is_dir()), reverse=True)


def choose(root: Path, wanted: str) -> Path:
    """The folder of the session of that id, or of the last unfinished one.

    A plan that is broken is one that was not finished. Raises ConfigError.
    """
    known = sessions_below(root)
    if wanted != LAST:
        names = [one.name for one in known]
        if wanted not in names:
            raise ConfigError(_no_session(root, wanted, names))
        return root / ".lem" / "sessions" / wanted
    found = next((one for one in known if _unfinished(one)), None)
    if found is None:
        raise ConfigError(f"no session below {root / '.lem'} is unfinished")
    return found


def _no_session(root: Path, wanted: str, names: Sequence[str]) -> str:
    if (Path.cwd() / wanted.partition("::")[0]).exists():
        return f"{wanted!r} is a path, no session: write --lem-resume={LAST} {wanted}"
    if not names:
        return f"{wanted!r} is no session: there is none below {root / '.lem'}"
    return unknown("session", wanted, names)


def _unfinished(directory: Path) -> bool:
    book = PlanBook(directory)
    if not (book.path.exists() or book.log.exists()):
        return False  # it never began to measure, or knew no plans
    try:
        return book.read().unfinished
    except BrokenPlan:
        return True


def differences(before: PlanFile, now: PlanFile) -> list[str]:
    """What is not as it was in a plan, a line each; the longest lists are cut."""
    found = [*_conditions(before.conditions, now.conditions), *_members(before, now)]
    if not found and _order(before) != _order(now):
        found = ["the order of the cycles is another"]
    more = len(found) - MOST_DIFFERENCES
    return found[:MOST_DIFFERENCES] + ([f"and {more} more"] if more > 0 else [])


def _order(plan: PlanFile) -> list[tuple[str, int]]:
    return [(one.experiment_id, one.cycle) for one in plan.steps]


def _conditions(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys([*before, *now]):
        if before.get(name) != now.get(name):
            yield f"{name}: {_said(now.get(name))}, was {_said(before.get(name))}"


def _members(before: PlanFile, now: PlanFile) -> Iterator[str]:
    old = {one.experiment_id: one for one in before.experiments}
    new = {one.experiment_id: one for one in now.experiments}
    yield from (f"{name}: is not in the plan" for name in new if name not in old)
    yield from (f"{name}: is missing now" for name in old if name not in new)
    for name, one in old.items():
        if name in new:
            yield from _changes(one, new[name])


def _changes(old: PlannedExperiment, new: PlannedExperiment) -> Iterator[str]:
    name = old.experiment_id
    if old.where != new.where:
        yield f"{name}: engine {new.where}, was {old.where}"
    for key in dict.fromkeys([*old.effort, *new.effort]):
        if old.effort.get(key) != new.effort.get(key):
            was = _said(old.effort.get(key))
            yield f"{name}: {key} {_said(new.effort.get(key))}, was {was}"
    if old.identity == new.identity:
        return
    keys = dict.fromkeys([*old.config, *new.config])
    told = [
        f"{key} {_said(new.config.get(key))}, was {_said(old.config.get(key))}"
        for key in keys
        if key not in old.effort and old.config.get(key) != new.config.get(key)
    ]
    told = told or [f"identity {new.identity}, was {old.identity} (its files differ)"]
    yield from (f"{name}: {line}" for line in told)


def _said(value: Any) -> str:
    return "the default" if value is None else str(value)


def settle(plan: PlanFile, results: Collection[str]) -> list[str]:
    """Make the plan one that can be gone on with; a line for each thing amiss.

    `results` are the hashes of the lines that the journal has. What was running was
    interrupted; what is completed and has lost a result is to be run again.
    """
    lost, known = [], {*results}
    for step in plan.steps:
        if step.status == "running":
            step.status = "interrupted"
        if step.status == "completed" and not known.issuperset(step.results):
            step.status = "pending"
            lost.append(
                f"cycle {step.cycle + 1} of {step.experiment_id}: its result is "
                "missing or damaged, so it is run again"
            )
        if step.status != "completed":
            step.results = []
    settled = {one.experiment_id for one in plan.steps if one.status == "completed"}
    for experiment in plan.experiments:
        if experiment.experiment_id not in settled:
            experiment.found = experiment.workload = None
    _judge_again(plan)
    return lost


def rebuild(plan: PlanFile, results: Mapping[tuple[str, int, str], str]) -> None:
    """Fill a fresh plan from the journal: hashes by experiment, cycle and identity.

    How tests ended is in no result, so the last cycle of each is to be run again.
    """
    identities = {one.experiment_id: one.identity for one in plan.experiments}
    for step in plan.steps:
        key = (step.experiment_id, step.cycle, identities[step.experiment_id])
        if key in results:
            step.status, step.results = "completed", [results[key]]
    _judge_again(plan)


def _judge_again(plan: PlanFile) -> None:
    """Forget how tests ended that are not done; where it is not known, run a cycle."""
    of: dict[str, list[PlannedCycle]] = {}
    for step in plan.steps:
        of.setdefault(step.experiment_id, []).append(step)
    for experiment in plan.experiments:
        steps = of[experiment.experiment_id]
        if any(one.status in OPEN for one in steps):
            experiment.reports = []
        elif not experiment.reports:
            done = [one for one in steps if one.status == "completed"]
            last = (done or steps)[-1]
            last.status, last.results = "pending", []
