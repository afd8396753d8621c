"""An earlier session that is gone on with: its plan, its cycles, its tests' ends."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.records.journal import ASIDE, Journal, Line, read_lines
from pytest_lem.records.shelf import executed
from pytest_lem.schedule.planfile import BrokenPlan, PlanBook, PlanFile
from pytest_lem.schedule.resuming import differences, rebuild, settle

HEADLINE = "lem_headline"
"""The number of a test, which its report carries."""


@dataclass(slots=True, kw_only=True)
class Earlier:
    """What an earlier session has left.

    `cycles` has the hashes of the journal's lines that count, by experiment; `ran` is
    what all cycles were, in the order they ran. `notes` has a line for each thing
    amiss, and `broken` says that the plan was made anew.
    """

    plan: PlanFile
    notes: list[str]
    broken: bool = False
    cycles: dict[str, list[str]] = field(default_factory=dict)
    ran: list[dict[str, Any]] = field(default_factory=list)


def read_earlier(
    directory: Path, fresh: PlanFile, *, make_anew: bool, look_only: bool
) -> Earlier:
    """What the session of that folder has left, for the plan as it is now.

    A broken plan is made anew from the results where that was asked for. `look_only`
    compares nothing that only an open laboratory knows. Raises ConfigError where the
    plan is another, StoreError where a file cannot be read.
    """
    book, journal = PlanBook(directory), Journal(directory)
    try:
        plan = book.read()
    except BrokenPlan as error:
        if not make_anew:
            raise ConfigError(
                f"the plan in {directory} is broken: {error}; with --lem-rebuild-plan "
                "it is kept as plan.json.bak and made anew from the results"
            ) from error
        found = _made_anew(fresh, directory.name, journal.lines(), error)
    else:
        if look_only:
            fresh.conditions = plan.conditions
        _refuse_another(plan, fresh)
        hashes = [line.sha256 for line in journal.lines()]
        notes, wanted = settle(plan, hashes), plan.wanted
        strange = sum(one not in wanted for one in hashes)
        if strange:
            notes.append(
                f"{strange} of the journal's lines belong to no completed cycle of the "
                f"plan and do not count: they are in {ASIDE} from now on"
            )
        found = Earlier(plan=plan, notes=notes)
    _sort(chain(read_lines(directory / ASIDE), journal.lines()), found)
    return found


def retell(item: pytest.Item, reports: list[dict[str, Any]]) -> None:
    """Report a test as the earlier session did, and say so."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for told in reports:
        report = read_report(item.config, told)
        if number := getattr(report, HEADLINE, None):
            setattr(report, HEADLINE, f"{number}, from the earlier session")
        report.sections.append(("lem", "told from the earlier session, not run again"))
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def read_report(config: pytest.Config, told: Mapping[str, Any]) -> pytest.TestReport:
    """A report as another process wrote it."""
    report: pytest.TestReport = config.hook.pytest_report_from_serializable(
        config=config, data=dict(told)
    )
    # JSON knows no tuples, and pytest asks for one where a test was skipped.
    if isinstance(report.longrepr, list):
        report.longrepr = tuple(report.longrepr)
    return report


def _refuse_another(plan: PlanFile, fresh: PlanFile) -> None:
    if found := differences(plan, fresh):
        lines = "".join(f"\n  {line}" for line in found)
        raise ConfigError(
            f"session {plan.session} cannot be gone on with, since this is another "
            f"plan; leave out --lem-resume to begin a new session:{lines}"
        )


def _made_anew(
    fresh: PlanFile, session: str, lines: Iterable[Line], error: BrokenPlan
) -> Earlier:
    found: dict[tuple[str, int, str], str] = {}
    for line in lines:
        if line.parts and line.parts[2].status == "complete":
            name, identity, cycle = line.parts
            found[name, cycle.index, identity] = line.sha256
    fresh.session = session
    rebuild(fresh, found)
    note = f"{error}: kept as plan.json.bak, made anew from {len(found)} results"
    return Earlier(plan=fresh, notes=[note], broken=True)


def _sort(lines: Iterable[Line], found: Earlier) -> None:
    """Which of the lines count, and which only ran.

    One that completed and does not count, was interrupted before that was known.
    """
    wanted = {*found.plan.wanted}
    for line in lines:
        if line.parts is None:
            continue
        name, _, cycle = line.parts
        counts = line.sha256 in wanted
        told = executed(name, cycle)
        if cycle.status == "complete" and not counts:
            told["status"] = "interrupted"
        found.ran.append(told)
        if counts:
            wanted.discard(line.sha256)
            found.cycles.setdefault(name, []).append(line.sha256)
    found.ran.sort(key=itemgetter("started_at"))
